"""The lock-hold model, and what may be said of two speeds."""

import math
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import pytest

from ticketsvc.lab.bench.load_spec import LoadResult
from ticketsvc.lab.bench.lock_hold import Hold, Trips
from ticketsvc.lab.bench.plan import BenchCase
from ticketsvc.lab.bench.suite import Bench
from ticketsvc.lab.bench.summary import Measurement
from ticketsvc.lab.bench.throughput import effects_of_not_waiting, run_until_all_sell


def speeds(least: float, middle: float, most: float) -> "pd.Series[float]":
    return pd.Series({"goodput_min": least, "goodput_per_s": middle, "goodput_max": most})


def test_the_lock_is_held_for_trips_work_and_flush() -> None:
    rows = Hold("ticket_rows", Trips(4, 2), 1, round_trip_s=0.1, alone_s=0.6, flush_s=0.5)
    assert (rows.trips_s, round(rows.work_s, 9), rows.flush_s) == (0.2, 0.2, 0.5)
    assert rows.seconds == pytest.approx(0.9)


def test_a_batch_shares_one_hold() -> None:
    group = Hold("group_commit", Trips(1, 0), 20, round_trip_s=0.1, alone_s=0.6, flush_s=0.5)
    assert group.predicted_per_s == pytest.approx(20 / 1.0)


def test_a_hold_too_short_to_measure_predicts_nothing() -> None:
    nothing = Hold("range", Trips(1, 0), 1, round_trip_s=0.6, alone_s=0.5, flush_s=0.0)
    assert math.isnan(nothing.predicted_per_s)


@pytest.mark.parametrize(
    ("not_durable", "times"),
    [
        (speeds(24, 30, 31), 2.0),
        (speeds(16, 30, 31), math.nan),
        (speeds(15, 30, 31), math.nan),
        (speeds(8, 9, 9.5), 0.6),
        (speeds(math.nan, math.nan, math.nan), math.nan),
    ],
)
def test_speeds_differ_only_where_no_repetitions_overlap(
    not_durable: "pd.Series[float]", times: float
) -> None:
    rows = pd.DataFrame(
        [
            {"name": "range", "durable": durable, **found}
            for durable, found in ((True, speeds(14, 15, 16)), (False, not_durable))
        ]
    )
    assert effects_of_not_waiting(rows).to_dict() == pytest.approx({"range": times}, nan_ok=True)


@dataclass(frozen=True)
class SlowBench:
    """A bench whose case number N sells nothing in less than N seconds."""

    seconds: float

    def run(self, cases: list[Any], _: int) -> list[Measurement]:
        return [
            Measurement(case, LoadResult(int(self.seconds >= case), self.seconds), "clean")
            for case in cases
        ]


def test_what_sells_nothing_is_measured_again_for_longer() -> None:
    bench, cases = cast(Bench, SlowBench(0.1)), cast(list[BenchCase], [0, 4, 1, 99, 0])
    found = [(one.result.sold, one.result.seconds) for one in run_until_all_sell(bench, cases)]
    assert found == [(1, 0.1), (1, 5.0), (1, 1.0), (0, 25.0), (1, 0.1)]
