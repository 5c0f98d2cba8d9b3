"""Two purchases interleaved by hand: the allocators are the real ones, and so is the database.

A pool that hands out real connections holds each purchase up where the test says. Nothing
sleeps: a step is granted, and the test goes on when it is done or seen to be blocked.
"""

import asyncio
import contextlib

import pytest

from tests.support.buying import buy, open_allocator, outcome, together
from tests.support.ledgers import verdict_of
from tests.support.locks import blocked_by, hold_table, is_blocked
from tests.support.waiting import soon
from ticketsvc.allocators import ALLOCATORS, SAFE, retry
from ticketsvc.allocators.retry import MAX_TRIES
from ticketsvc.database.pool import Pool
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import RefusedByDatabase
from ticketsvc.purchases import TicketRange
from ticketsvc.settings import Settings

# Its transaction sets a level of its own, which it cannot within one that is held open here.
HELD_OPEN = [n for n in SAFE if ALLOCATORS[n].mechanism.isolation == "READ COMMITTED"]


class Held:
    """A pool whose one connection works in a transaction that ends when the test says."""

    def __init__(self, pool):
        self._pool = pool
        self.pid = asyncio.get_running_loop().create_future()
        self.worked = asyncio.Event()
        self.ended = asyncio.Event()
        self.end = "COMMIT"

    async def getconn(self):
        connection = await self._pool.getconn()
        await connection.execute("BEGIN")
        self.pid.set_result(connection.info.backend_pid)
        return connection

    async def putconn(self, connection):
        self.worked.set()
        await self.ended.wait()
        await connection.execute(self.end)
        await self._pool.putconn(connection)


@contextlib.asynccontextmanager
async def two_purchases(url, allocator):
    """Begin two purchases of 8, each on a pool of its own; return both pools and both tasks."""
    async with (
        asyncio.timeout(60),
        Pool(url, Settings(pool_size=2)) as pool,
        asyncio.TaskGroup() as group,
    ):
        pools = [Held(pool), Held(pool)]
        yield [
            (each, group.create_task(outcome(ALLOCATORS[allocator](each, "fixed"), buy(user=user))))
            for each, user in zip(pools, ("ann", "bob"), strict=True)
        ]


@pytest.mark.parametrize("allocator", HELD_OPEN)
async def test_the_second_waits_and_gets_the_numbers_that_the_first_gives_back(
    database, connection, allocator
):
    """Ends by COMMIT are in every schedule that the explorer runs."""
    reset_event(connection, "fixed", "E", 8)
    async with two_purchases(database, allocator) as (one, other):
        # Whichever comes to the pool row first works; the other is blocked by it.
        await soon(lambda: one[0].worked.is_set() or other[0].worked.is_set())
        (first, _), (second, behind) = (one, other) if one[0].worked.is_set() else (other, one)
        pids = [await first.pid, await second.pid]
        await soon(lambda: is_blocked(connection, pids[1], by=pids[0]))
        assert not behind.done()
        assert not second.worked.is_set()
        first.end = "ROLLBACK"
        first.ended.set()
        second.ended.set()
        assert await behind == TicketRange(1, 8)
        # The test's own transactions end a little after the answers.
        await soon(lambda: verdict_of(connection, "fixed").issued == 8)
    verdict = verdict_of(connection, "fixed")
    assert (verdict.clean, verdict.available) == (True, 0)


@pytest.mark.parametrize(
    ("tries", "second"), [(1, RefusedByDatabase), (MAX_TRIES, TicketRange(1881, 2296))]
)
async def test_serializable_retries_a_conflict_that_is_reported_as_a_number_issued_already(
    database, connection, monkeypatch, tries, second
):
    """The tickets 1465 to 1830 fill a page of the index, of which the first purchase reads none."""
    monkeypatch.setattr(retry, "MAX_TRIES", tries)
    reset_event(connection, "fixed", "E", 8000)
    connection.execute(
        "INSERT INTO fixed.issued_tickets SELECT 'E', n, 'u' FROM generate_series(1, 1464) AS n"
    )
    connection.execute(
        "UPDATE fixed.ticket_pools SET available = 8000 - 1464, next_ticket_number = 1465"
    )
    async with open_allocator(database, "serializable") as allocator:
        with hold_table(database, "fixed", "issued_tickets", "SHARE") as holder:
            sales = asyncio.create_task(together(allocator, buy(416), buy(416)))
            await soon(lambda: len(blocked_by(connection, holder)) == 2)  # both have read the stock
        sold = await sales
    assert TicketRange(1465, 1880) in sold
    assert second in (*sold, *map(type, sold))
