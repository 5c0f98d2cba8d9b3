"""Whatever breaks, nothing is lost, sold twice or left open; and controls that show it could."""

import json

import pytest

from ticketsvc.lab.faults.experiment import Trial, table, undergo
from ticketsvc.lab.faults.injection import FAULTS
from ticketsvc.lab.faults.overload import Load, overload


async def under(fault, **changes):
    return await undergo(Trial(fault, **{"times": 1, "between": 40, **changes}))


@pytest.mark.parametrize("fault", FAULTS)
async def test_with_keys_nothing_is_lost(fault):
    times = 3 if fault == "session_kill" else 1  # one may come between two purchases
    ordeal = await under(fault, times=times)
    row = ordeal.row()
    assert ordeal.nothing_lost, (row, ordeal.verdict.violations)
    assert row["strikes"] == times
    assert row["acknowledged"] == row["purchases"] >= 80
    # It did hit somebody: else the rest would prove nothing.
    assert row["asked_again"] > 0


async def test_rows_are_counted_by_buyer_as_ranges_are():
    kept = await under("answer_cut", allocator="ticket_rows")
    assert kept.nothing_lost, kept.row()
    twice = await under("answer_cut", allocator="ticket_rows", keys=False)
    assert twice.row()["double"] == twice.row()["asked_again"] > 0


@pytest.mark.parametrize("fault", ["answer_cut", "database_freeze"])
async def test_without_keys_who_asks_again_buys_twice(fault):
    ordeal = await under(fault, keys=False)
    row = ordeal.row()
    assert row["double"] > 0
    assert row["audit"] == "violated"
    assert not ordeal.nothing_lost


async def test_who_does_not_ask_again_never_knows():
    ordeal = await under("answer_cut", retry=False)
    assert ordeal.row()["unresolved"] > 0
    assert ordeal.verdict.clean  # some of them have bought, and nobody was told
    assert not ordeal.nothing_lost


async def test_without_the_flush_what_was_acknowledged_is_gone():
    ordeal = await under("database_crash", durable=False, between=200)
    row = ordeal.row()
    assert row["lost"] > 0
    assert "acknowledged_missing" in {violation.kind for violation in ordeal.verdict.violations}
    assert not ordeal.nothing_lost
    assert table([ordeal]).loc[0, "lost"] == row["lost"]


def test_the_command(cli):
    told = cli("faults", "--kind", "answer_cut", "--times", "1", "--json")
    assert told.returncode == 0, told.stderr
    (row,) = json.loads(told.stdout)
    assert (row["fault"], row["audit"], row["lost"], row["double"]) == ("answer_cut", "clean", 0, 0)
    for wrong in (["--kind", "fire"], ["--allocator", "naive"], ["--times", "0"]):
        refused = cli("faults", *wrong)
        assert refused.returncode == 2
        assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("bound", "refused"), [(10, True), (5000, False)])
async def test_beyond_the_bound_who_asks_is_told_and_the_others_are_sold_to(bound, refused):
    load = Load(times=5, seconds=1.0, peak_s=1.0, flush_ms=20, max_waiting=bound)
    found = await overload(load)
    row = found.row()
    assert found.verdict.clean
    assert row["of_peak"] > 0
    assert (row["refused"] > 0) == refused
    assert found.statuses == ([503] if refused else [])
    assert row["unknown"] == 0
