"""The reproduction and the fix, over HTTP, judged by what the database holds.

Where a figure depends on how purchases overlap, the pool table is locked until all of them have
arrived: ten wait for the lock, the rest in line for a connection. So every one reads before any
writes, on a machine of any speed, and nothing else is held up or slowed down.
"""

import asyncio

import pytest

from tests.support.buying import SAFE, read_metrics
from tests.support.ledgers import violations_of
from tests.support.locks import blocked_by, hold_table
from ticketsvc.database.schemas import reset_event
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.burst import Workload, run_workload
from ticketsvc.lab.workload.history import summarise

BURSTS = 3
# An advisory lock holds back only who takes it, and SERIALIZABLE sees only its like.
LOCKING = [name for name in SAFE if name not in ("advisory_lock", "serializable")]


async def burst(urls, connection, schema, total, purchases=30):
    """Fire once at a fresh event; return what the buyers were told and what the ledger holds."""
    reset_event(connection, schema, "E", total)
    history = await run_workload(urls, Workload("E", purchases, concurrency=purchases))
    (verdict,) = check(read_ledger(connection, schema), history)
    return summarise(history), verdict


@pytest.fixture
def together(database, connection, http, soon):
    """As `burst`, with all purchases made to arrive before the first one reads."""

    async def waiting_for_a_connection(urls):
        each = [await read_metrics(http, url) for url in urls]
        return sum(metrics['ticketsvc_pool{what="waiting"}'] for metrics in each)

    async def run(urls, schema, total, purchases=30):
        reset_event(connection, schema, "E", total)
        with hold_table(database, schema, "ticket_pools") as holder:
            answers = asyncio.create_task(
                run_workload(urls, Workload("E", purchases, concurrency=purchases))
            )

            async def all_have_arrived():
                assert not answers.done()
                reading = len(blocked_by(connection, holder))
                return reading + await waiting_for_a_connection(urls) == purchases

            await soon(all_have_arrived)
            holder.rollback()
            history = await answers
        (verdict,) = check(read_ledger(connection, schema), history)
        return summarise(history), verdict

    return run


async def test_naive_issues_duplicates_in_a_burst_left_to_itself(database, connection, serve):
    """As an engineer runs it: sent at once, many more than there are connections."""
    url = serve(database, "naive").url
    for _ in range(BURSTS):
        told, held = await burst([url], connection, "original", 32, 60)
        assert told["duplicates"] > 0
        assert "duplicate" in violations_of(held)


async def test_naive_sells_8_tickets_30_times(database, serve, together):
    url = serve(database, "naive").url
    for _ in range(BURSTS):
        told, held = await together([url], "original", 8)
        assert (told["successes"], told["tickets"], told["unique"]) == (30, 240, 8)
        assert told["duplicates"] == 232
        assert (held.issued, held.unique, held.duplicates) == (240, 8, 232)
        assert (held.available, held.oversold) == (-232, True)
        assert violations_of(held) == {"oversold", "duplicate", "negative_stock"}


@pytest.mark.parametrize(("purchases", "total"), [(20, 100), (60, 32), (2, 8), (200, 400)])
async def test_naive_issues_duplicates(database, serve, together, purchases, total):
    url = serve(database, "naive").url
    for _ in range(BURSTS):
        told, held = await together([url], "original", total, purchases)
        assert told["successes"] == purchases
        assert told["duplicates"] == 8 * (purchases - 1)
        assert "duplicate" in violations_of(held)


@pytest.mark.parametrize("allocator", SAFE)
async def test_the_fixed_ones_sell_8_tickets_once(database, connection, serve, allocator):
    url = serve(database, allocator).url
    for _ in range(BURSTS):
        told, held = await burst([url], connection, "fixed", 8)
        assert (told["successes"], told["refused"], told["unknown"]) == (1, 29, 0)
        assert told["statuses"] == {"200": 1, "409": 29}
        assert (told["tickets"], told["unique"], told["duplicates"]) == (8, 8, 0)
        assert (held.issued, held.available, held.oversold) == (8, 0, False)
        assert held.clean


@pytest.mark.parametrize("allocator", SAFE)
async def test_two_processes_sell_80_tickets_once(database, connection, serve, allocator):
    urls = [serve(database, allocator).url for _ in range(2)]
    for _ in range(BURSTS):
        told, held = await burst(urls, connection, "fixed", 80)
        assert (told["successes"], told["refused"], told["unknown"]) == (10, 20, 0)
        assert (told["tickets"], told["unique"], told["duplicates"]) == (80, 80, 0)
        assert (held.issued, held.unique, held.available) == (80, 80, 0)
        assert held.clean


async def test_two_naive_processes_do_not(database, serve, together):
    """The negative control: what the two processes share is the fault, too."""
    urls = [serve(database, "naive").url for _ in range(2)]
    _, held = await together(urls, "original", 80)
    assert "duplicate" in violations_of(held)


async def test_mechanisms_that_lock_the_pool_row_can_sell_side_by_side(database, connection, serve):
    urls = [serve(database, allocator).url for allocator in LOCKING]
    for _ in range(BURSTS):
        told, held = await burst(urls, connection, "fixed", 400, 60)
        assert (told["successes"], told["refused"], told["unknown"]) == (50, 10, 0)
        assert (held.issued, held.available, held.clean) == (400, 0, True)


@pytest.mark.parametrize(("purchases", "total"), [(30, 8), (30, 80), (60, 400)])
async def test_naive_on_the_fixed_schema(database, connection, serve, purchases, total):
    """The database refuses the duplicates; what was sold is sold once."""
    url = serve(database, "naive", schema="fixed").url
    for _ in range(BURSTS):
        told, held = await burst([url], connection, "fixed", total, purchases)
        assert told["successes"] >= 1
        assert told["successes"] + told["refused"] == purchases
        assert told["duplicates"] == held.duplicates == 0
        assert not held.oversold
        # A purchase refused half-way leaves the rows it had committed: the pool lags behind.
        assert violations_of(held) <= {"drift"}


async def test_naive_on_the_fixed_schema_without_its_guards(database, connection, serve, together):
    """The negative control of the test above."""
    connection.execute("ALTER TABLE fixed.issued_tickets DROP CONSTRAINT issued_tickets_pkey")
    connection.execute("DROP TRIGGER issue_in_sequence ON fixed.issued_tickets")
    url = serve(database, "naive", schema="fixed").url
    told, held = await together([url], "fixed", 8 * 30)
    assert told["duplicates"] == 8 * 29
    assert "duplicate" in violations_of(held)
