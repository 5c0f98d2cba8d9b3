"""The titles of the throughput charts state what their tables hold."""

import math

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab import charts
from ticketsvc.lab.charts.svg import as_svg


def titles(figure: Figure) -> list[str]:
    """Return the titles; every panel has labels, too."""
    assert all(one.get_xlabel() and one.get_ylabel() for one in figure.axes)
    return [" ".join(one.get_title(loc="left").split()) for one in figure.axes]


def test_by_connections_leaves_out_of_its_finding_what_sold_nothing_in_time() -> None:
    names = ["noop", "range", "group_commit", "serializable"]
    rates = pd.DataFrame({"name": names, "goodput_per_s": [90.0, 1.0, 70.0, math.nan]}).assign(
        kind=["noop", *["allocator"] * 3], connections=64, repetitions=3, sold=10
    )
    figure = charts.by_connections(rates)
    assert titles(figure) == ["At 64 connections group_commit sells 70 times what range does"]
    assert as_svg(figure)


def test_durability_says_what_was_resolved_and_what_is_at_risk() -> None:
    pairs = pd.DataFrame(
        {
            "name": ["range", "group_commit"] * 2,
            "durable": [True] * 2 + [False] * 2,
            "repetitions": 4,
            "goodput_min": [1.0, 2.0, 3.0, 2.0],
            "goodput_per_s": [1.0, 2.0, 4.0, 2.0],
            "goodput_max": [1.0, 3.0, 5.0, 3.0],
            "at_risk_purchases": [1.0, 9.0, 1000.0, 3000.0],
        }
    )
    effects = pd.Series({"range": 4.0, "group_commit": math.nan})
    figure = charts.durability(pairs, effects)
    rates, risks = titles(figure)
    assert rates == "Not waiting for the flush: difference resolved in 1 of 2"
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["4.0×", "not resolved"]
    assert "3,000" in risks
