"""The benchmark's arithmetic: percentiles, medians, ratios, and agreement with the ledger."""

from dataclasses import replace
from typing import Any

import pytest

from ticketsvc.lab.bench.load_spec import LoadResult
from ticketsvc.lab.bench.plan import BenchCase, Candidate
from ticketsvc.lab.bench.summary import Measurement, disagreement, percentile, summarise

BARE = BenchCase(Candidate("bare noop", "bare_noop"))
NOOP = BenchCase(Candidate("noop", "noop"))
RANGE = BenchCase(Candidate("range"))
GROUP = BenchCase(Candidate("group_commit"))
PEER = BenchCase(Candidate("theirs", "peer", url="http://127.0.0.1:1"))


def measured(case: BenchCase, sold: int, **changes: Any) -> Measurement:
    result = LoadResult(sold, 2.0, p50_ms=1.0)
    return Measurement(case, result, costs={"wal_bytes": 10.0}, **changes)


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7.0], 0.99) == 7.0
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]


def test_the_median_of_repetitions_and_its_ratios() -> None:
    runs = [
        measured(BARE, 800),
        *(measured(NOOP, sold) for sold in (400, 100, 200)),
        *(measured(RANGE, sold) for sold in (20, 40, 50)),
        *(measured(GROUP, sold) for sold in (160, 100, 170)),
        measured(PEER, 10),
    ]
    bare, noop, alone, group, peer = summarise(runs)
    assert (alone["goodput_per_s"], alone["goodput_min"], alone["goodput_max"]) == (20, 10, 25)
    assert (alone["of_noop"], alone["of_bare"], alone["of_range"]) == (0.2, 0.05, 1.0)
    assert (group["of_noop"], group["of_bare"], group["of_range"]) == (0.8, 0.2, 4.0)
    assert (peer["of_noop"], peer["of_bare"], peer["of_range"]) == (None, 0.0125, 0.25)
    assert (bare["of_noop"], noop["of_bare"]) == (None, 0.25)
    assert alone["wal_bytes"] == 10.0


def test_another_load_is_not_compared() -> None:
    other = replace(GROUP, connections=1)
    [*_, row] = summarise([measured(BARE, 10), measured(RANGE, 10), measured(other, 10)])
    assert row["of_range"] is row["of_bare"] is None


def test_one_violation_in_any_repetition_removes_the_figure() -> None:
    runs = [
        measured(RANGE, 10),
        measured(RANGE, 10, violations=("oversold: by 8",)),
        measured(GROUP, 10),
    ]
    bad, good = summarise(runs)
    assert bad["goodput_per_s"] is bad["p50_ms"] is bad["wal_bytes"] is None
    assert (bad["audit"], bad["violations"]) == ("violated", ["oversold: by 8"])
    assert (good["goodput_per_s"], good["of_range"]) == (5.0, None)


def test_without_a_sale_there_is_no_figure() -> None:
    [row] = summarise([measured(RANGE, 0)])
    assert row["goodput_per_s"] is None


@pytest.mark.parametrize(
    ("result", "issued", "agrees"),
    [
        (LoadResult(10, 1.0), 10, True),
        (LoadResult(10, 1.0, late=2), 12, True),
        (LoadResult(10, 1.0, in_flight=3), 13, True),
        (LoadResult(10, 1.0), 11, False),
        (LoadResult(10, 1.0, in_flight=3), 14, False),
        (LoadResult(10, 1.0, in_flight=3), 9, False),
    ],
)
def test_clients_and_ledger_agree_up_to_what_was_in_flight(
    result: LoadResult, issued: int, agrees: bool
) -> None:
    assert (disagreement(result, issued) == "") == agrees
