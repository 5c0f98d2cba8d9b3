"""The bug and the fix over HTTP, judged by what the database holds.

The purchases of each burst are made to overlap by `lab.experiments.overlap`: all of them have
read the stock before the first one subtracts, on a machine of any speed. The services are
applications in this process. Notebooks 02, 04 and 05, which the tests run, have server processes,
and bursts of other sizes.
"""

import contextlib
import itertools

import pytest

from tests.support.ledgers import verdict_of, violations_of
from tests.support.web_servers import serve_sales
from ticketsvc.allocators import SAFE
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.experiments import overlap
from ticketsvc.lab.experiments.bursts import Trial, run_trial
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.overlap import NoOverlap, run_overlapping
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import summarise
from ticketsvc.lab.workload.plan import Workload

# An advisory lock holds back only who takes it, and SERIALIZABLE sees only its like. REPEATABLE
# READ inserts first and takes the pool row last: beside the others that is a deadlock.
ALONE = ("advisory_lock", "repeatable_read_retry", "serializable")
LOCKING = [name for name in SAFE if name not in ALONE]


@contextlib.asynccontextmanager
async def services(database, schema, *allocators, **settings):
    """Serve one application, with a pool of its own, for each of *allocators*; yield addresses."""
    async with contextlib.AsyncExitStack() as stack:
        served = [serve_sales(database, name, schema=schema, **settings) for name in allocators]
        yield [await stack.enter_async_context(each) for each in served]


async def sell_together(database, urls, allocator, schema, total):
    """Run one overlapping burst of 30 purchases; return its answers and its verdict."""
    lab = Lab(database)
    with contextlib.closing(lab.connection):
        workload = Workload("E", 30, concurrency=30)
        done = await run_trial(lab, urls, Trial(allocator, schema, total, workload))
    return summarise(done.history), done.verdict


async def test_naive_sells_8_tickets_30_times(database):
    async with services(database, "original", "naive") as urls:
        answers, held = await sell_together(database, urls, "naive", "original", 8)
    assert (answers["successes"], answers["tickets"], answers["unique"]) == (30, 240, 8)
    assert (held.issued, held.unique, held.duplicates) == (240, 8, 232)
    assert (held.available, held.oversold) == (-232, True)
    assert violations_of(held) == {"oversold", "duplicate", "negative_stock"}


@pytest.mark.parametrize("allocator", ALONE)
async def test_two_instances_sell_80_tickets_once(database, allocator):
    async with services(database, "fixed", allocator, allocator) as urls:
        answers, held = await sell_together(database, urls, allocator, "fixed", 80)
    assert answers["statuses"] == {"200": 10, "409": 20}
    assert (answers["tickets"], answers["unique"]) == (80, 80)
    assert (held.issued, held.available, held.clean) == (80, 0, True)


async def test_two_naive_instances_do_not(database):
    """The negative control."""
    async with services(database, "original", "naive", "naive") as urls:
        answers, held = await sell_together(database, urls, "naive", "original", 80)
    assert (answers["successes"], answers["unique"]) == (30, 8)
    assert "duplicate" in violations_of(held)


async def test_mechanisms_that_lock_the_pool_row_can_sell_side_by_side(database, connection):
    reset_event(connection, "fixed", "E", 400)
    workload = Workload("E", 60, concurrency=60)
    async with services(database, "fixed", *LOCKING) as urls:
        history, _ = await run_overlapping(database, urls, workload, "fixed", writers=len(urls))
    assert summarise(history)["statuses"] == {"200": 50, "409": 10}
    verdict = verdict_of(connection, history=history)
    assert (verdict.issued, verdict.available, verdict.clean) == (400, 0, True)


async def test_the_fixed_schema_refuses_what_naive_would_issue_twice(database, connection):
    """With its negative control: without the guards of the schema the duplicates are there."""
    async with services(database, "fixed", "naive") as urls:
        answers, held = await sell_together(database, urls, "naive", "fixed", 8 * 30)
        assert answers["successes"] >= 1
        assert answers["successes"] + answers["refused"] == 30
        assert answers["duplicates"] == held.duplicates == 0
        # A purchase that is refused half-way leaves rows that it had committed.
        assert violations_of(held) <= {"drift"}
        connection.execute("ALTER TABLE fixed.issued_tickets DROP CONSTRAINT issued_tickets_pkey")
        connection.execute("DROP TRIGGER issue_in_sequence ON fixed.issued_tickets")
        answers, held = await sell_together(database, urls, "naive", "fixed", 8 * 30)
        assert answers["duplicates"] == 8 * 29
        assert "duplicate" in violations_of(held)


async def test_purchases_in_turn_do_not_overlap(database, connection):
    """The negative control: one at a time, naive sells each number once, and no evidence comes."""
    reset_event(connection, "original", "E", 80)
    workload = Workload("E", 12, concurrency=1)
    async with services(database, "original", "naive") as urls:
        history = await run_workload(urls, workload)
        assert summarise(history)["statuses"] == {"200": 10, "409": 2}
        assert verdict_of(connection, "original", history).clean
        with pytest.raises(NoOverlap, match=r"[01] of 12 purchases in flight"):
            await run_overlapping(database, urls, workload, "original", writers=2, limit_s=0.2)


async def test_a_burst_that_cannot_overlap_is_no_evidence(database, connection, monkeypatch):
    """One connection lets one purchase wait for the row, and two are wanted.

    The time that is waited for the second passes only while the first waits.
    """
    reset_event(connection, "original", "E", 16)
    for_the_row = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    ticks = itertools.count()

    def clock():
        return next(ticks) if connection.execute(for_the_row).rowcount else 0

    monkeypatch.setattr(overlap, "monotonic", clock)
    async with services(database, "original", "naive", pool_size=1) as urls:
        with pytest.raises(NoOverlap, match="1 of 2 sessions waiting for the pool row"):
            await run_overlapping(
                database, urls, Workload("E", 2, concurrency=2), "original", writers=2, limit_s=3
            )
