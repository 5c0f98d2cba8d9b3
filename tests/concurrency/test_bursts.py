"""The bug and the fix over HTTP, judged by what the database holds.

The purchases of each burst are made to overlap by `lab.experiments.overlap`: all of them have
read the stock before the first one subtracts, on a machine of any speed.
"""

import contextlib

import psycopg
import pytest

from tests.support.buying import SAFE
from tests.support.ledgers import violations_of
from ticketsvc.database.schemas import reset_event
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.experiments.bursts import Trial, run_trial
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.overlap import NoOverlap, run_overlapping
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import summarise
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import start_service

# An advisory lock holds back only who takes it, and SERIALIZABLE sees only its like. REPEATABLE
# READ inserts first and takes the pool row last: beside the others that is a deadlock.
ALONE = ("advisory_lock", "repeatable_read_retry", "serializable")
LOCKING = [name for name in SAFE if name not in ALONE]


@pytest.fixture(scope="module")
def shared(server):
    """One database for the file, and `running`: the addresses of *number* processes of a kind."""
    with (
        server.clone() as database,
        psycopg.connect(database, autocommit=True) as connection,
        contextlib.ExitStack() as stack,
    ):
        started = {}

        def running(allocator, schema, number=1):
            urls = started.setdefault((allocator, schema), [])
            while len(urls) < number:
                service = start_service(database, allocator, schema=schema)
                urls.append(stack.enter_context(service).url)
            return urls[:number]

        yield database, connection, running


async def sell_together(database, urls, trial):
    """Run one overlapping burst; return its answers and its verdict."""
    lab = Lab(database)
    with contextlib.closing(lab.connection):
        done = await run_trial(lab, urls, trial)
    return summarise(done.history), done.verdict


@pytest.fixture
def burst(shared):
    """Run one overlapping burst on processes of *allocator*; return its answers and its verdict."""
    database, _, running = shared

    async def run(allocator, total, purchases=30, *, schema="fixed", processes=1):
        urls = running(allocator, schema, processes)
        workload = Workload("E", purchases, concurrency=purchases)
        return await sell_together(database, urls, Trial(allocator, schema, total, workload))

    return run


async def test_naive_sells_8_tickets_30_times(burst):
    answers, held = await burst("naive", 8, schema="original")
    assert (answers["successes"], answers["tickets"], answers["unique"]) == (30, 240, 8)
    assert (held.issued, held.unique, held.duplicates) == (240, 8, 232)
    assert (held.available, held.oversold) == (-232, True)
    assert violations_of(held) == {"oversold", "duplicate", "negative_stock"}


@pytest.mark.parametrize(("purchases", "total"), [(2, 8), (100, 200)])
async def test_naive_issues_duplicates(burst, purchases, total):
    answers, held = await burst("naive", total, purchases, schema="original")
    assert answers["successes"] == purchases
    assert answers["duplicates"] == 8 * (purchases - 1)
    assert "duplicate" in violations_of(held)


@pytest.mark.parametrize("allocator", SAFE)
async def test_the_fixed_ones_sell_8_tickets_once(burst, allocator):
    answers, held = await burst(allocator, 8)
    assert answers["statuses"] == {"200": 1, "409": 29}
    assert (answers["tickets"], answers["unique"]) == (8, 8)
    assert (held.issued, held.available, held.clean) == (8, 0, True)


@pytest.mark.parametrize("allocator", sorted({*SAFE} - {*LOCKING}))
async def test_two_processes_sell_80_tickets_once(burst, allocator):
    answers, held = await burst(allocator, 80, processes=2)
    assert answers["statuses"] == {"200": 10, "409": 20}
    assert (answers["tickets"], answers["unique"]) == (80, 80)
    assert (held.issued, held.available, held.clean) == (80, 0, True)


async def test_two_naive_processes_do_not(burst):
    """The negative control."""
    answers, held = await burst("naive", 80, schema="original", processes=2)
    assert (answers["successes"], answers["unique"]) == (30, 8)
    assert "duplicate" in violations_of(held)


async def test_mechanisms_that_lock_the_pool_row_can_sell_side_by_side(shared):
    database, connection, running = shared
    urls = [running(allocator, "fixed")[0] for allocator in LOCKING]
    reset_event(connection, "fixed", "E", 400)
    workload = Workload("E", 60, concurrency=60)
    history, _ = await run_overlapping(database, urls, workload, "fixed", writers=len(urls))
    assert summarise(history)["statuses"] == {"200": 50, "409": 10}
    (verdict,) = check(read_ledger(connection, "fixed"), history)
    assert (verdict.issued, verdict.available, verdict.clean) == (400, 0, True)


async def test_naive_on_the_fixed_schema(burst):
    """The database refuses the duplicates; what was sold is sold once."""
    answers, held = await burst("naive", 400, 60)
    assert answers["successes"] >= 1
    assert answers["successes"] + answers["refused"] == 60
    assert answers["duplicates"] == held.duplicates == 0
    # A purchase that is refused half-way leaves rows that it had committed: the pool lags behind.
    assert violations_of(held) <= {"drift"}


async def test_naive_on_the_fixed_schema_without_its_guards(database, connection, serve):
    """The negative control of the test above."""
    connection.execute("ALTER TABLE fixed.issued_tickets DROP CONSTRAINT issued_tickets_pkey")
    connection.execute("DROP TRIGGER issue_in_sequence ON fixed.issued_tickets")
    urls = [serve(database, "naive", schema="fixed").url]
    trial = Trial("naive", "fixed", 8 * 30, Workload("E", 30, concurrency=30))
    answers, held = await sell_together(database, urls, trial)
    assert answers["duplicates"] == 8 * 29
    assert "duplicate" in violations_of(held)


async def test_a_burst_that_cannot_overlap_is_no_evidence(database, connection, serve):
    """One connection lets one purchase wait for the row, and two are wanted."""
    reset_event(connection, "original", "E", 16)
    url = serve(database, "naive", pool_size=1).url
    with pytest.raises(NoOverlap, match="1 of 2 sessions waiting for the pool row"):
        await run_overlapping(
            database, [url], Workload("E", 2, concurrency=2), "original", writers=2, limit_s=1
        )


async def test_a_burst_in_turn_sells_each_number_once(shared):
    """The negative control of the overlap: the naive allocator is right when nobody else buys."""
    _, connection, running = shared
    reset_event(connection, "original", "E", 80)
    history = await run_workload(running("naive", "original"), Workload("E", 12, concurrency=1))
    assert summarise(history)["statuses"] == {"200": 10, "409": 2}
    assert check(read_ledger(connection, "original"), history)[0].clean
