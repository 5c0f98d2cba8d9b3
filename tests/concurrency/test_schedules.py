"""Two purchases interleaved by hand: the allocators are the real ones, and so is the database.

A pool that hands out real connections holds each purchase up where the test says. Nothing
sleeps: a step is granted, and the test goes on when it is done or seen to be blocked.
"""
# ruff: noqa: PLR0917 - fixtures arrive by name

import asyncio
import contextlib

import pytest

from tests.support.buying import buy, open_allocator, outcome, together
from tests.support.ledgers import verdict_of
from tests.support.locks import blocked_by, hold_table, is_blocked
from ticketsvc.allocators import ALLOCATORS, SAFE, retry
from ticketsvc.allocators.retry import MAX_TRIES
from ticketsvc.database.pool import make_pool
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import RefusedByDatabase, SoldOut
from ticketsvc.purchases import TicketRange
from ticketsvc.settings import Settings

# Its transaction sets a level of its own, which it cannot within one that is held open here.
HELD_OPEN = [n for n in SAFE if ALLOCATORS[n].mechanism.isolation == "READ COMMITTED"]


class Stepped:
    """A pool that lends a connection only when the test grants the step."""

    def __init__(self, pool):
        self._pool = pool
        self._granted = asyncio.Semaphore(0)
        self._done = asyncio.Queue()

    async def getconn(self):
        await self._granted.acquire()
        return await self._pool.getconn()

    async def putconn(self, connection):
        await self._pool.putconn(connection)
        self._done.put_nowait(None)

    async def step(self, times=1):
        """Let the purchase use that many connections, one after another, and return them back."""
        for _ in range(times):
            self._granted.release()
            await self._done.get()


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
async def two_purchases(url, kind, allocator, schema):
    """Begin two purchases of 8, each on a pool of its own; return both pools and both tasks."""
    async with (
        asyncio.timeout(60),
        make_pool(url, Settings(pool_size=2)) as pool,
        asyncio.TaskGroup() as group,
    ):
        pools = [kind(pool), kind(pool)]
        yield [
            (each, group.create_task(outcome(ALLOCATORS[allocator](each, schema), buy(user=user))))
            for each, user in zip(pools, ("ann", "bob"), strict=True)
        ]


async def test_naive_on_the_fixed_schema_can_leave_rows_that_nobody_was_sold(database, connection):
    """Refused half-way: no duplicate, but the rows before the refused one stay."""
    reset_event(connection, "fixed", "E", 16)
    async with two_purchases(database, Stepped, "naive", "fixed") as (ann, bob):
        await ann[0].step(4)  # tickets 1 to 3
        connection.execute(
            "INSERT INTO fixed.issued_tickets (event_id, user_id, ticket_number) "
            "VALUES ('E', 'by hand', 4)"
        )
        await ann[0].step()
        assert isinstance(await ann[1], RefusedByDatabase)
        await bob[0].step(2)
        assert isinstance(await bob[1], RefusedByDatabase)
    verdict = verdict_of(connection, "fixed")
    assert (verdict.issued, verdict.duplicates) == (4, 0)
    assert [violation.kind for violation in verdict.violations] == ["drift"]


# Tickets there are, how the first one's transaction ends, what it and the second are sold.
ENDS = {
    "the second is sold out": (8, "COMMIT", [TicketRange(1, 8), SoldOut]),
    "the second gets the next numbers": (16, "COMMIT", [TicketRange(1, 8), TicketRange(9, 16)]),
    "the second gets the numbers that were rolled back": (8, "ROLLBACK", [..., TicketRange(1, 8)]),
}


@pytest.mark.parametrize("allocator", HELD_OPEN)
@pytest.mark.parametrize(("total", "end", "expected"), ENDS.values(), ids=ENDS)
async def test_the_fixed_ones_wait_for_the_first_and_then_decide(
    database, connection, soon, allocator, total, end, expected
):
    """The schedule that duplicates above: both begin before either has committed."""
    reset_event(connection, "fixed", "E", total)
    async with two_purchases(database, Held, allocator, "fixed") as (one, other):
        # Whichever comes to the pool row first works; the other is blocked by it.
        await soon(lambda: one[0].worked.is_set() or other[0].worked.is_set())
        (first, ahead), (second, behind) = (one, other) if one[0].worked.is_set() else (other, one)
        pids = [await first.pid, await second.pid]
        await soon(lambda: is_blocked(connection, pids[1], by=pids[0]))
        assert not behind.done()
        assert not second.worked.is_set()
        assert verdict_of(connection, "fixed").issued == 0  # nothing is committed yet
        first.end = end
        first.ended.set()
        second.ended.set()
        for outcome_, wanted in zip([await ahead, await behind], expected, strict=True):
            assert wanted in (..., outcome_, type(outcome_))
        # The test's own transactions end a little after the answers.
        await soon(lambda: verdict_of(connection, "fixed").issued == total)
    verdict = verdict_of(connection, "fixed")
    assert (verdict.clean, verdict.issued, verdict.available) == (True, total, 0)


@pytest.mark.parametrize(
    ("tries", "second"), [(1, RefusedByDatabase), (MAX_TRIES, TicketRange(1881, 2296))]
)
async def test_serializable_retries_a_conflict_that_is_reported_as_a_number_issued_already(
    database, connection, soon, monkeypatch, tries, second
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
