"""Single-flight group commit: purchases that wait at the same time commit in one statement."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from itertools import chain

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from ticketsvc.allocators.event_queue import Batch, QueuedPurchase, answer, event_of, fail, take
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.arrays import array_literal
from ticketsvc.database.error_translation import translate_database_error
from ticketsvc.database.pool import Connection, Cursor, Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.database.trace import tracing_purchase
from ticketsvc.errors import DatabaseUnavailable, OutcomeUnknown, Unavailable
from ticketsvc.purchases import Purchase, TicketRange

MAX_BATCH = 128  # purchases in one statement

# Errors that a single purchase can cause for every purchase in its statement.
_CAUSED_BY_ONE = (psycopg.IntegrityError, psycopg.DataError, DeadlockDetected, LockNotAvailable)

_log = logging.getLogger("ticketsvc.allocators")


class GroupCommit:
    """One committer sells to purchases that wait, in batches; the next ones queue while it works.

    There is no timer: a lone purchase is a batch of one. Under load, a batch takes at most half of
    the buyers: the server reads and answers the others meanwhile. The committer waits for no lock.
    A batch whose pool row a rival holds, or that a single purchase made fail, becomes a fallback
    batch, which another task sells while the committer goes on. An event has one batch in flight
    at a time.
    """

    mechanism = Mechanism(
        name="group_commit",
        summary="purchases that wait at the same time commit in one statement",
        safe=True,
        schemas=("fixed",),
        claims_keys=True,
        change="the schema too: purchases share a commit",
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        self._pool = pool
        statements = load("group_commit", schema)
        self._reserve = statements["reserve"]
        self._reserve_several = statements["reserve_several"]
        self._has_citus = load("schemas")["has_citus"]
        self._one_event_each: bool | None = None  # asked when the first two events meet
        # Of each event with purchases waiting or in flight, those that wait.
        self.queues: dict[str, deque[QueuedPurchase]] = {}
        self._ready: deque[str] = deque()  # those without a batch in flight
        self._last = 0  # purchases in the latest batch; 0: nobody waited after it
        self._committer: asyncio.Task[None] | None = None
        self._fallbacks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Wait in the event's queue until the committer reserves tickets for its batch.

        The database's `reserve` locks the pool row, then judges each purchase in order of
        arrival as if it were alone: rivals in other processes wait for the row and see what was
        committed. A caller that is cancelled leaves the queue; once its batch is in flight, the
        batch goes on without it.

        Raise `SoldOut`, `EventNotFound`, `KeyUsed` or `RefusedByDatabase` for this purchase
        alone, `DatabaseUnavailable` when nothing was sent, and `OutcomeUnknown` or `Unavailable`
        when the statement that carried it failed.

        Writes: one pool update per event, and one allocation row and a key, if there is one, per
        purchase, in one commit.
        """
        event = purchase.event_id
        queue = self.queues.get(event)
        if queue is None:
            queue = self.queues[event] = deque()
            self._ready.append(event)
        if self._loop is None:  # asked once: up to Python 3.11 each call is a system call
            self._loop = asyncio.get_running_loop()
        queued = QueuedPurchase(purchase, self._loop.create_future())
        queue.append(queued)
        self._ensure_committer()
        return await queued.answer

    # The committer, and fallback batches

    def _ensure_committer(self) -> None:
        if self._ready and self._committer is None:
            self._committer = asyncio.create_task(self._commit_until_idle())

    async def _commit_until_idle(self) -> None:
        me = asyncio.current_task()
        try:
            while self._ready and self._committer is me:
                async with checkout(self._pool) as connection:
                    # To check a connection out, and to make a cursor, costs nearly half as much as
                    # a purchase each: keep both.
                    cursor = connection.cursor()
                    await self._commit_ready(cursor)
                    while self._ready and self._committer is me and self._may_keep(connection):
                        await self._commit_ready(cursor)
        except Unavailable as problem:
            self._refuse_ready(problem)
        except Exception:
            _log.exception("a bug ended the committer of group commit")
            self._refuse_ready(Unavailable("nothing was sold: try again shortly"))
        finally:
            if self._committer is me:
                self._committer = None
                self._last = 0

    def _may_keep(self, connection: Connection) -> bool:
        """Tell whether the connection works, and nobody waits for one."""
        return not connection.closed and not self._pool.get_stats()["requests_waiting"]

    def _hand_over(self) -> None:
        """Let the running task finish as a fallback; another committer serves what is ready."""
        self._keep(self._committer)
        self._committer = None
        self._ensure_committer()

    def _keep(self, fallback: asyncio.Task[None] | None) -> None:
        if fallback is not None:
            self._fallbacks.add(fallback)
            fallback.add_done_callback(self._fallbacks.discard)

    async def _commit_ready(self, cursor: Cursor) -> None:
        """Sell to the queues that are ready, in one statement."""
        batches = self._take_ready()
        self._last = sum(map(len, batches))
        postponed: list[Batch] = []
        try:
            if batches:
                postponed = await self._commit(cursor, batches)
            if postponed and len(batches) == 1:  # it can wait on this connection
                postponed = []
                self._hand_over()
                await self._commit_alone(cursor, batches[0])
        finally:
            for batch in batches:
                if batch not in postponed:
                    self._finish(batch)
        for batch in postponed:
            self._keep(asyncio.create_task(self._commit_fallback(batch)))

    async def _commit_fallback(self, batch: Batch) -> None:
        try:
            async with checkout(self._pool) as connection:
                await self._commit_alone(connection.cursor(), batch)
        except Unavailable as problem:
            fail(batch, problem)
        finally:
            self._finish(batch)

    def _take_ready(self) -> list[Batch]:
        batches: list[Batch] = []
        room = self._room()
        while self._ready and room:
            event = self._ready.popleft()
            if batch := take(self.queues[event], room):
                batches.append(batch)
                room -= len(batch)
            else:  # every caller was cancelled
                del self.queues[event]
        return batches

    def _room(self) -> int:
        """Return how many purchases the next batch may take: half of the buyers, if they are known.

        The buyers are those that wait and those of the latest batch, who may come back.
        """
        if not self._last:
            return MAX_BATCH
        buyers = self._last + sum(len(self.queues[event]) for event in self._ready)
        return min(MAX_BATCH, (buyers + 1) // 2)

    def _finish(self, batch: Batch) -> None:
        """Make the batch's queue ready again, or forget it when it is empty."""
        fail(batch, OutcomeUnknown())  # to whom nothing was said: it was cancelled, or a bug
        event = event_of(batch)
        if self.queues[event]:
            self._ready.append(event)
            self._ensure_committer()
        else:
            del self.queues[event]

    def _refuse_ready(self, problem: Unavailable) -> None:
        while self._ready:
            fail(self.queues.pop(self._ready.popleft()), problem)

    # Statements

    async def _commit(self, cursor: Cursor, batches: list[Batch]) -> list[Batch]:
        """Answer every caller, except in the batches that are returned: these need a fallback.

        Returned are the batches whose pool row a rival holds; all of them when the statement
        failed, and was rolled back, for an error that one purchase can have caused; and all of
        several events where each needs a statement of its own.
        """
        try:
            if len(batches) == 1:
                sold = await self._reserve_one(cursor, batches[0], wait=False)
                return [] if sold else batches
            if self._one_event_each is None:
                await self._has_citus.execute(cursor)
                self._one_event_each = await cursor.fetchone() is not None
            # Citus delegates a statement of one event to the worker that has it, in one hop. One
            # of several events would be a two-phase commit.
            return batches if self._one_event_each else await self._reserve_all(cursor, batches)
        except _CAUSED_BY_ONE:
            return batches
        except psycopg.Error as problem:
            for batch in batches:
                fail(batch, translate_database_error(problem) or problem)
            return []

    async def _commit_alone(self, cursor: Cursor, batch: Batch) -> None:
        """Answer every caller of one batch; wait for a rival, and isolate a purchase that fails."""
        try:
            await self._reserve_one(cursor, batch, wait=True)
        except psycopg.Error as problem:
            if not isinstance(problem, _CAUSED_BY_ONE) or len(batch) == 1:
                fail(batch, translate_database_error(problem) or problem)
                return
            # All of it was rolled back. One at a time, only the cause is refused.
            for queued in batch:
                if cursor.connection.closed:
                    queued.refuse(DatabaseUnavailable("the database went away: try again shortly"))
                else:
                    await self._commit_alone(cursor, [queued])

    async def _reserve_one(self, cursor: Cursor, batch: Batch, *, wait: bool) -> bool:
        """Answer the callers of *batch*; return False, without *wait*, when its row is busy."""
        with _tracing(batch):
            await self._reserve.execute(cursor, event=event_of(batch), wait=wait, **_columns(batch))
        (row,) = await cursor.fetchall()
        return answer(batch, row.first_tickets, row.refusals)

    async def _reserve_all(self, cursor: Cursor, batches: list[Batch]) -> list[Batch]:
        """Answer the callers of *batches*; return those whose row a rival holds."""
        purchases = list(chain(*batches))
        with _tracing(purchases):
            await self._reserve_several.execute(
                cursor,
                events=array_literal(queued.purchase.event_id for queued in purchases),
                **_columns(purchases),
            )
        rows = {row.event: row for row in await cursor.fetchall()}
        busy = []
        for batch in batches:
            row = rows[event_of(batch)]
            if not answer(batch, row.first_tickets, row.refusals):
                busy.append(batch)
        return busy


def _columns(purchases: Sequence[QueuedPurchase]) -> dict[str, str | None]:
    keys = [queued.purchase.key for queued in purchases]
    return {
        "users": array_literal(queued.purchase.user_id for queued in purchases),
        "quantities": array_literal(queued.purchase.quantity for queued in purchases),
        "keys": array_literal(keys) if any(keys) else None,
    }


def _tracing(purchases: Sequence[QueuedPurchase]) -> contextlib.AbstractContextManager[None]:
    names = [queued.trace for queued in purchases if queued.trace]
    return tracing_purchase(", ".join(names)) if names else contextlib.nullcontext()
