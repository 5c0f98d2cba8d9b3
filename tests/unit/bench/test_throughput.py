"""The lock-hold model, and what may be said of two speeds."""

import math

import pandas as pd
import pytest

from ticketsvc.lab.bench.lock_hold import Trips, hold
from ticketsvc.lab.bench.throughput import compare_speeds, effects_of_not_waiting


def speeds(least: float, middle: float, most: float) -> "pd.Series[float]":
    return pd.Series({"goodput_min": least, "goodput_per_s": middle, "goodput_max": most})


def test_the_lock_is_held_for_trips_work_and_flush() -> None:
    rows = hold("ticket_rows", Trips(4, 2), purchases=1, round_trip_s=0.1, alone_s=0.6, flush_s=0.5)
    assert (rows.trips_s, round(rows.work_s, 9), rows.flush_s) == (0.2, 0.2, 0.5)
    assert rows.seconds == pytest.approx(0.9)


def test_a_batch_shares_one_hold() -> None:
    group = hold(
        "group_commit", Trips(1, 0), purchases=20, round_trip_s=0.1, alone_s=0.6, flush_s=0.5
    )
    assert group.predicted_per_s == pytest.approx(20 / 1.0)


@pytest.mark.parametrize(
    ("faster", "said"),
    [
        (speeds(24, 30, 31), "2.0 times as fast"),
        (speeds(21, 30, 31), "no difference resolved"),
        (speeds(15, 30, 31), "no difference resolved"),
        (speeds(8, 9, 9.5), "0.6 times as fast"),
        (speeds(math.nan, math.nan, math.nan), "no difference resolved"),
    ],
)
def test_speeds_differ_only_by_more_than_repetitions_do(
    faster: "pd.Series[float]", said: str
) -> None:
    assert compare_speeds(speeds(14, 15, 16), faster) == said


def test_not_waiting_is_judged_by_allocator() -> None:
    rows = pd.DataFrame(
        [
            {"name": "range", "durable": durable, **speeds(*found)}
            for durable, found in ((True, (1, 2, 3)), (False, (8, 9, 10)))
        ]
    )
    assert effects_of_not_waiting(rows).to_dict() == {"range": "4.5 times as fast"}
