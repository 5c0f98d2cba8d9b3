"""The explorer on real servers: it finds what is known to be there, and nothing else."""

import asyncio
from dataclasses import replace

import pytest

from tests.support.buying import SAFE
from tests.support.clusters import databases_named
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import checkout
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.exploration import explore, replay
from ticketsvc.lab.explore.isolation_tester import run_tester
from ticketsvc.lab.explore.mechanism_matrix import exhibits, explore_all, outcomes
from ticketsvc.lab.explore.transcripts import endings, rows
from ticketsvc.lab.mutation.guards import allocator_mutants
from ticketsvc.lab.mutation.mutations import (
    NOBODY,
    try_allocator_mutants,
    try_schema_mutants,
    try_sign_check,
)

EXHIBITS = {each.allocator: each for each in exhibits()}


def case(name, buyers=2, total=8, **more):
    exhibit = EXHIBITS[name]
    more.setdefault("hold_commits", exhibit.safe)
    return Case(name, exhibit.schema, buyers, total, 8, **more)


@pytest.mark.parametrize("full", [False, True], ids=["reduced", "full"])
async def test_only_the_serial_orders_of_naive_are_clean(database, full):
    two = await explore(database, case("naive_bulk"), full=full, keep=True)
    assert (two.schedules, two.clean, two.oversold, two.duplicate) == (20, 2, 18, 18)
    assert all(run.serial for run in two.runs if run.verdict.clean)


async def test_three_buyers_of_naive(database):
    found = await explore(database, case("naive_bulk", 3))
    assert (found.schedules, found.clean, found.complete) == (1428, 6, True)
    assert found.classes < 50
    enough = await explore(database, case("naive_bulk", 3, 24))
    assert (enough.schedules, enough.clean) == (1680, 6)


async def test_every_interleaving_of_the_faithful_naive_is_accounted_for(database):
    found = await explore(database, Case("naive", "original"), keep=True)
    assert (found.schedules, found.clean) == (184_756, 2)
    assert sorted(run.stands_for for run in found.runs) == [1, 1, 92_377, 92_377]
    assert all(run.serial for run in found.runs if run.verdict.clean)


@pytest.mark.parametrize("name", EXHIBITS)
@pytest.mark.parametrize("total", [0, 8, 16])
async def test_the_reduction_loses_nothing(database, name, total):
    reduced = await explore(database, case(name, total=total), keep=True)
    full = await explore(database, case(name, total=total), full=True, keep=True)
    assert outcomes(reduced) == outcomes(full)
    assert reduced.schedules == full.schedules == full.classes


@pytest.mark.parametrize("name", ["transaction", "repeatable_read", "row_lock", "ticket_rows"])
async def test_the_reduction_loses_nothing_on_what_the_fixed_schema_refuses(database, name):
    """Triggers, constraints and blocked inserts."""
    there = Case(name, "fixed", 2, 16, 8)
    reduced = await explore(database, there, keep=True)
    full = await explore(database, there, full=True, keep=True)
    assert outcomes(reduced) == outcomes(full)
    assert full.clean == full.schedules


@pytest.mark.parametrize("name", SAFE)
async def test_no_schedule_of_a_right_allocator_breaks_the_invariant(database, name):
    """Three buyers; of serializable, with stock for all, notebook 07 does it."""
    totals = (0, 8) if name == "serializable" else (0, 8, 24)
    for total in totals:
        found = await explore(database, case(name, 3, total))
        assert found.complete
        assert found.clean == found.schedules > 0
        assert found.turned_away == 0
        assert found.blocked + found.refused > 0, "nothing was in anybody's way"


@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("total", [8, 16])
async def test_whoever_asks_again_under_the_same_key_buys_nothing_in_any_schedule(
    database, name, total
):
    asked = replace(case(name, total=total, same_key=True), schema="fixed")
    found = await explore(database, asked, keep=True)
    assert found.complete
    assert found.clean == found.schedules > 2
    for run in found.runs:
        assert sorted(answer.code for answer in run.answers) == ["key_used", "sold"]
        assert run.ledger.available == total - 8


async def test_without_the_constraint_every_schedule_sells_twice_under_one_key(database):
    """The negative control: `range` does not look first, the constraint is all there is."""
    drop = "ALTER TABLE fixed.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey"
    found = await explore(
        database, case("range", total=16, same_key=True), changes=[drop], keep=True
    )
    assert all(answer.sold for run in found.runs for answer in run.answers)


@pytest.mark.parametrize(
    ("name", "total", "expected"),
    [
        # People believe: a transaction is enough. Nothing fails, and both are sold the same.
        ("transaction", 8, {"clean": 2, "oversold": 48, "duplicate": 48, "turned_away": 0}),
        ("transaction", 16, {"clean": 2, "oversold": 0, "duplicate": 48, "turned_away": 0}),
        # People believe: it oversells like READ COMMITTED. It fails, and loses the sale.
        ("repeatable_read", 8, {"clean": 50, "oversold": 0, "duplicate": 0, "turned_away": 0}),
        ("repeatable_read", 16, {"clean": 50, "oversold": 0, "duplicate": 0, "turned_away": 48}),
        # People believe: unique numbers mean no oversell. They mean unique numbers.
        ("unique_only", 8, {"clean": 2, "oversold": 92, "duplicate": 0, "turned_away": 0}),
    ],
)
async def test_near_misses(database, name, total, expected):
    found = await explore(database, case(name, total=total))
    assert {key: getattr(found, key) for key in expected} == expected
    states = {"transaction": set(), "repeatable_read": {"40001"}, "unique_only": {"23505"}}
    assert set(found.sqlstates) == states[name]


async def test_a_blocked_step_is_shown_and_the_others_go_on(database):
    found = await explore(database, case("row_lock", 2, 16), keep=True)
    blocked = [run for run in found.runs if run.blocked]
    assert 0 < len(blocked) < len(found.runs)
    for run in blocked:
        places = [n for n, event in enumerate(run.events) if event.waited_for]
        for place in places:
            event = run.events[place]
            assert run.events[place + 1].session in event.waited_for
            assert run.events[event.released_by].name == "COMMIT"


async def test_a_replay_is_the_same_twice_over(database):
    for name in ("row_lock", "serializable", "unique_only"):
        found = await explore(database, case(name, 2, 16), keep=True, tell=True)
        run = found.runs[-1]
        told = [rows(run), endings(run)]
        for _ in range(2):
            again = await replay(database, case(name, 2, 16), run.choices)
            assert [rows(again), endings(again)] == told


async def test_a_schedule_that_does_not_exist(database):
    assert await replay(database, case("row_lock"), (0, 0, 0, 0, 0, 0, 0, 0)) is None
    assert await replay(database, case("naive_bulk"), (0, 1)) is None


class Crossing:
    """Locks two advisory locks, one buyer in one order and the other in the other."""

    mechanism = Mechanism("crossing", "waits for itself", False, ("original",))

    def __init__(self, pool, schema):
        self._pool = pool
        self._steps = CheckThenAct(schema)

    async def allocate(self, purchase):
        keys = (1, 2) if purchase.user_id == "A" else (2, 1)
        async with checkout(self._pool) as connection, connection.transaction():
            for key in keys:
                await connection.execute(b"SELECT pg_advisory_xact_lock(%(key)s)", {"key": key})
            return await self._steps.purchase(connection, purchase)


async def test_a_deadlock_is_an_outcome(database):
    crossing = Case("crossing", "original", 2, 16, 8)
    found = await explore(database, crossing, allocator=Crossing, keep=True)
    assert found.complete
    assert found.sqlstates["40P01"] > 0
    assert found.clean == found.schedules
    dead = next(run for run in found.runs if any(e.error == "40P01" for e in run.events))
    again = await replay(database, crossing, dead.choices, allocator=Crossing)
    assert again.answers == dead.answers
    full = await explore(database, crossing, allocator=Crossing, full=True, keep=True)
    assert outcomes(found) == outcomes(full)


async def test_several_purchases_at_one_server(database):
    for name in ("range", "row_lock"):
        found = await explore(database, case(name, 2, 16, together=2), keep=True)
        assert found.complete
        assert found.clean == found.schedules
        assert all(sum(a.sold for a in run.answers) == 2 for run in found.runs)


async def test_a_limit_and_a_sample_say_that_they_are_not_all(database):
    limited = await explore(database, case("naive_bulk", 3), limit=5)
    assert (limited.classes, limited.complete) == (5, False)
    sampled = await explore(database, case("row_lock", 3, 24), sample=40)
    assert (sampled.schedules, sampled.complete, sampled.violating) == (40, False, 0)
    assert 0.05 < sampled.bound < 0.1  # the rule of three: about 3 / 40
    damaged = await explore(database, case("naive_bulk", 3), sample=40)
    assert damaged.bound > 0.9


async def test_every_mutant_is_caught(database):
    caught = [
        *await try_allocator_mutants(database, allocator_mutants()),
        *try_schema_mutants(database),
        *await try_sign_check(database),
    ]
    assert len(caught) > 30
    assert [one for one in caught if one.by == NOBODY] == []
    assert {one.by for one in caught} == {"explorer", "database", "checker"}


async def test_an_allocator_that_is_no_mutant_is_not_caught(database):
    """The negative control of the test above: unchanged, nobody objects."""
    unchanged = [
        replace(one, mutant=ALLOCATORS[one.base], changes=())
        for one in allocator_mutants()
        if ALLOCATORS[one.base].mechanism.safe
    ]
    caught = await try_allocator_mutants(database, unchanged)
    assert {one.by for one in caught} == {NOBODY}


async def test_explorations_side_by_side_do_not_disturb_each_other(database):
    table = await explore_all(
        database,
        [EXHIBITS[name] for name in ("naive_bulk", "serializable", "range")],
        buyers=(2,),
        quantity=8,
        limit=1000,
    )
    alone = await explore(database, case("serializable", 2, 16))
    beside = table[(table["mechanism"] == "serializable") & (table["stock"] == "all")].iloc[0]
    assert beside["schedules"] == alone.schedules
    assert beside["retries"] == alone.retries
    assert table["complete"].all()


def test_the_isolation_tester_runs_the_same_case(database):
    ended = run_tester(database, buyers=2, total=8, quantity=8)
    assert ended.permutations == 20
    assert ended.seconds > 0


async def test_nothing_is_left_on_the_server(database, connection):
    await explore(database, case("naive_bulk"))
    with pytest.raises(asyncio.CancelledError):
        await explore(database, case("naive_bulk"), on_run=_give_up)
    assert databases_named(connection, "ticketsvc_explore_") == set()


def _give_up(_):
    raise asyncio.CancelledError
