"""Confidence bounds, against values that scipy 1.17 gives."""

import pytest

from ticketsvc.lab.confidence import upper_bound, wilson_interval


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 20, 0.0, 0.1611251580528),
        (7, 20, 0.1811918241011, 0.5671457233148),
        (20, 20, 0.8388748419472, 1.0),
    ],
)
def test_wilson_interval(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(hits, trials, 0.95) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("hits", "trials", "bound"),
    [
        (0, 500, 0.0059735515),
        (3, 40, 0.1825868500),
        (39, 40, 0.9987184895),
        (40, 40, 1.0),
        (1000, 100_000, 0.0105332009),
    ],
)
def test_upper_bound(hits: int, trials: int, bound: float) -> None:
    assert upper_bound(hits, trials, 0.95) == pytest.approx(bound)
