"""The explorer on a real server: it finds what is known to be there, and nothing else."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio
from psycopg import IsolationLevel

from tests.support.clusters import databases_named
from ticketsvc.allocators import ALLOCATORS, SAFE
from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import checkout, transaction
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.explorer import explore, open_explorer
from ticketsvc.lab.explore.mechanism_matrix import MECHANISMS, explore_fixes, matrix_case
from ticketsvc.lab.explore.reduction_check import outcomes
from ticketsvc.lab.explore.transcripts import endings, rows
from ticketsvc.lab.mutation.guards import allocator_mutants, removal
from ticketsvc.lab.mutation.mutations import NOBODY, try_allocator_mutants
from ticketsvc.purchases import TicketRange

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def url(server):
    """A database for the whole module: what is explored has scratch databases beside it."""
    with server.clone() as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def explorer(url):
    async with open_explorer(url) as opened:
        yield opened


def case(name, buyers=2, total=8, **more):
    return replace(matrix_case(name, buyers, total, 8), **more)


async def test_only_the_serial_schedules_of_naive_are_clean(explorer):
    two = await explorer.explore(case("naive_bulk"), full=True, keep=True)
    assert (two.schedules, two.clean, two.violations["oversold"], two.violations["duplicate"]) == (
        20,
        2,
        18,
        18,
    )
    assert all(run.serial for run in two.runs if run.verdict.clean)


async def test_three_buyers_of_naive(explorer):
    found = await explorer.explore(case("naive_bulk", 3))
    assert (found.schedules, found.classes, found.clean, found.complete) == (1428, 21, 6, True)
    enough = await explorer.explore(case("naive_bulk", 3, 24))
    assert (enough.schedules, enough.clean) == (1680, 6)


async def test_every_schedule_of_the_faithful_naive_is_covered(explorer):
    found = await explorer.explore(Case("naive", "original"), keep=True)
    assert (found.schedules, found.classes, found.clean) == (184_756, 4, 2)
    assert sorted(run.represents for run in found.runs) == [1, 1, 92_377, 92_377]
    assert all(run.serial for run in found.runs if run.verdict.clean)


@pytest.mark.parametrize("name", ["repeatable_read", "ticket_rows"])
async def test_the_reduction_loses_nothing_where_the_fixed_schema_refuses(explorer, name):
    """Triggers, constraints and blocked inserts. Notebook 07 compares every allocator."""
    there = Case(name, "fixed", 2, 16, 8)
    reduced = await explorer.explore(there, keep=True)
    full = await explorer.explore(there, full=True, keep=True)
    assert outcomes(reduced) == outcomes(full)
    assert full.clean == full.schedules


@pytest.mark.parametrize("name", ["row_lock", "failing"])
async def test_the_reduction_loses_nothing_with_three_buyers(explorer, name):
    """Here several wait for one lock. Those that fail when it is released are seen as well.

    Of `row_lock` each schedule is clean.
    """
    allocators = {"failing": Failing}
    there = Case(name, "original", 3, 8, 8) if name in allocators else case(name, 3)
    options = {"allocator": allocators.get(name), "keep": True}
    reduced = await explorer.explore(there, **options)
    full = await explorer.explore(there, full=True, **options)
    assert outcomes(reduced) == outcomes(full)
    assert any(sum(bool(step.waited_for) for step in run.steps) > 1 for run in full.runs)
    assert (full.clean, full.complete) == (full.schedules if name in SAFE else 0, True)


def counts(found):
    """Return all that is counted by schedules."""
    left_out = ("classes", "seconds", "ids", "runs", "_telling")
    return {name: value for name, value in vars(found).items() if name not in left_out}


async def both_counts(explorer, there, **options):
    plain, alike = [
        await explorer.explore(there, alike=alike, **options) for alike in (False, True)
    ]
    assert alike.classes <= plain.classes
    return counts(plain), counts(alike)


@pytest.mark.parametrize("name", MECHANISMS)
async def test_alike_buyers_are_counted_as_if_each_order_of_them_were_executed(explorer, name):
    for total in (8, 16):
        plain, alike = await both_counts(explorer, case(name, total=total))
        assert plain == alike


@pytest.mark.parametrize(("name", "total", "safe"), [("naive_bulk", 24, False), ("range", 8, True)])
async def test_three_alike_buyers_are_counted_so_too(explorer, name, total, safe):
    """`python3 run.py` has three buyers of every allocator in notebook 07; the tests have two."""
    plain, alike = await both_counts(explorer, case(name, 3, total))
    assert plain == alike
    assert (alike["clean"] == alike["schedules"]) == safe
    assert (alike["complete"], alike["refused_with_stock"]) == (True, 0)


async def test_buyers_that_are_not_alike_must_not_be_taken_for_alike(explorer):
    """The negative control: the first buyer looks once more than the second."""
    there = Case("unlike", "original")
    plain, alike = await both_counts(explorer, there, allocator=Unlike)
    assert plain != alike


@pytest.mark.parametrize(("name", "total"), [*((name, 16) for name in SAFE), ("range", 8)])
async def test_a_purchase_sent_twice_under_one_key_buys_once_in_every_schedule(
    explorer, name, total
):
    sent_twice = replace(case(name, total=total, same_key=True), schema="fixed")
    found = await explorer.explore(sent_twice, keep=True)
    assert found.complete
    assert found.clean == found.schedules > 2
    for run in found.runs:
        assert sorted(answer.code for answer in run.answers) == ["key_used", "sold"]
        assert run.ledger.available == total - 8


async def test_without_the_constraint_every_schedule_sells_twice_under_one_key(explorer):
    """The negative control: `range` does not look first, the constraint is all there is.

    The change of the schema is undone before the next case.
    """
    same_key = case("range", total=16, same_key=True)
    without = await explorer.explore(same_key, changes=removal("idempotency_keys_pkey"), keep=True)
    assert all(answer.sold for run in without.runs for answer in run.answers)
    restored = await explorer.explore(same_key, keep=True)
    assert all(sum(answer.sold for answer in run.answers) == 1 for run in restored.runs)


async def test_a_blocked_step_is_recorded_and_the_others_go_on(explorer):
    found = await explorer.explore(case("row_lock", 2, 16), keep=True)
    blocked = [run for run in found.runs if run.blocked]
    assert 0 < len(blocked) < len(found.runs)
    for run in blocked:
        for place, step in enumerate(run.steps):
            if step.waited_for:
                assert run.steps[place + 1].session in step.waited_for
                assert run.steps[step.released_by].name == "COMMIT"


async def test_a_replay_is_the_same(explorer):
    for name in ("row_lock", "serializable"):
        found = await explorer.explore(case(name, 2, 16), keep=True, snapshots=True)
        run = found.runs[-1]
        first = [rows(run), endings(run)]
        again = await explorer.replay(case(name, 2, 16), run.choices)
        assert [rows(again), endings(again)] == first


class Failing(CheckThenAct):
    """Fails when another changed the pool's row after its snapshot; does nothing else."""

    mechanism = Mechanism(
        "failing",
        "an update under REPEATABLE READ",
        False,
        ("original",),
        isolation="REPEATABLE READ",
    )

    async def allocate(self, purchase):
        async with (
            checkout(self._pool) as connection,
            transaction(connection, IsolationLevel.REPEATABLE_READ),
        ):
            await self._decrement.execute(
                connection, event=purchase.event_id, quantity=purchase.quantity
            )
            return TicketRange(1, purchase.quantity)


class Unlike(CheckThenAct):
    """Reads twice for the first buyer."""

    mechanism = Mechanism("unlike", "treats one buyer differently", False, ("original",))

    async def allocate(self, purchase):
        async with checkout(self._pool) as connection:
            if purchase.user_id == "A":
                await self._read_pool.execute(connection, event=purchase.event_id)
            return await self._check_then_act(connection, purchase)


class Crossing(CheckThenAct):
    """Takes two advisory locks, one buyer in one order and the other in the other."""

    mechanism = Mechanism("crossing", "waits for itself", False, ("original",))

    async def allocate(self, purchase):
        keys = (1, 2) if purchase.user_id == "A" else (2, 1)
        async with checkout(self._pool) as connection, connection.transaction():
            for key in keys:
                await connection.execute(b"SELECT pg_advisory_xact_lock(%(key)s)", {"key": key})
            return await self._check_then_act(connection, purchase)


async def test_a_deadlock_is_an_outcome(explorer):
    crossing = Case("crossing", "original", 2, 16, 8)
    found = await explorer.explore(crossing, allocator=Crossing, keep=True)
    assert found.complete
    assert found.sqlstates["40P01"] > 0
    assert found.clean == found.schedules
    dead = next(run for run in found.runs if any(step.error == "40P01" for step in run.steps))
    again = await explorer.replay(crossing, dead.choices, allocator=Crossing)
    assert again.answers == dead.answers
    full = await explorer.explore(crossing, allocator=Crossing, full=True, keep=True)
    assert outcomes(found) == outcomes(full)


async def test_a_limit_and_a_sample_are_not_complete(explorer):
    limited = await explorer.explore(case("naive_bulk", 3), limit=5)
    assert (limited.classes, limited.complete) == (5, False)
    sampled = await explorer.explore(case("row_lock"), sample=40)
    assert (sampled.schedules, sampled.complete, sampled.violating) == (40, False, 0)
    assert 0.05 < sampled.bound < 0.1  # the rule of three: about 3 / 40
    damaged = await explorer.explore(case("naive_bulk"), sample=40)
    assert damaged.bound > 0.9


async def test_a_buyer_tries_again_after_a_conflict_and_after_busy(url):
    fixes = (await explore_fixes(url)).set_index("allocator")
    again = fixes["a buyer tries again"]
    assert {*again[again > 0].index} == {"repeatable_read_retry", "serializable", "group_commit"}


async def test_an_allocator_that_is_no_mutant_is_not_caught(url):
    """The negative control of notebook 07, where every mutant is caught: unchanged, none is."""
    unchanged = [
        replace(one, mutant=None, changes=())
        for one in allocator_mutants()
        if ALLOCATORS[one.case.allocator].mechanism.safe
    ]
    caught = await try_allocator_mutants(url, unchanged)
    assert {one.by for one in caught} == {NOBODY}


async def test_a_constraint_can_follow_a_case_that_left_duplicates(explorer):
    damaged = await explorer.replay(case("naive_bulk"), (0, 0, 1, 0, 1, 1))
    assert not damaged.verdict.clean
    found = await explorer.explore(case("unique_only"))
    assert found.violations["duplicate"] == 0


async def test_nothing_is_left_on_the_server(database, connection):
    before = databases_named(connection, "ticketsvc_explore_")
    await explore(database, case("naive_bulk"))
    with pytest.raises(asyncio.CancelledError):
        await explore(database, case("naive_bulk"), on_run=_cancel)
    assert databases_named(connection, "ticketsvc_explore_") == before


def _cancel(_):
    raise asyncio.CancelledError
