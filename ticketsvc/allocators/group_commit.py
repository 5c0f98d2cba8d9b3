"""Purchases that wait for the same event commit together, in one statement."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

import psycopg

from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.allocators.selling import in_our_terms
from ticketsvc.database.pool import Connection, Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.database.trace import traced_purchase, tracing_purchase
from ticketsvc.errors import (
    DatabaseUnavailable,
    EventNotFound,
    OutcomeUnknown,
    Overloaded,
    RefusedByDatabase,
    SoldOut,
    TicketsvcError,
    Unavailable,
)
from ticketsvc.purchases import Purchase, TicketRange

_log = logging.getLogger("ticketsvc.allocators")

MAX_BATCH = 128
MAX_WAITING = 2_000  # of one event; whoever comes then is told at once


@dataclass(slots=True, eq=False)
class _Waiting:
    purchase: Purchase
    answer: "asyncio.Future[TicketRange]"
    trace: str | None = field(default_factory=traced_purchase)
    outcome: TicketRange | Exception | None = None

    def sold(self, first: int) -> None:
        self.outcome = TicketRange(first, first + self.purchase.quantity - 1)

    def tell(self) -> None:
        """Give the caller the outcome, unless it has left."""
        if self.answer.done():
            return
        if isinstance(self.outcome, TicketRange):
            self.answer.set_result(self.outcome)
        else:  # none: its batch was cancelled with the loop, or met a bug
            self.answer.set_exception(
                self.outcome or OutcomeUnknown("the purchase may have happened, or not")
            )


@dataclass(slots=True, eq=False)
class _Line:
    """Who waits for one event, in order of arrival, and the task that serves them."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    committer: "asyncio.Task[None] | None" = None

    def take_batch(self) -> list[_Waiting]:
        """Take the first out of the line; whoever has left is passed over."""
        batch: list[_Waiting] = []
        while self.waiting and len(batch) < MAX_BATCH:
            one = self.waiting.popleft()
            if not one.answer.done():
                batch.append(one)
        return batch

    def turn_away(self, reason: str) -> None:
        """Refuse everybody who waits: of none of them anything was sent."""
        while self.waiting:
            one = self.waiting.popleft()
            one.outcome = DatabaseUnavailable(reason)
            one.tell()


class GroupCommit:
    """One committer per event with purchases waiting; no timer: it takes who is there."""

    mechanism: ClassVar = Mechanism(
        name="group_commit",
        summary="purchases that wait for the same event commit in one statement",
        safe=True,
        schemas=("fixed",),
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        self._pool = pool
        self._reserve = load("group_commit", schema)["reserve"]
        self._lines: dict[str, _Line] = {}

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Wait in the event's line; its committer reserves for all who wait, or for one alone.

        The database's `reserve` locks the pool row, then judges each in order of arrival as if
        it were alone: rivals of other processes wait for the row and see what was committed. A
        caller that is cancelled leaves the line; under way, its batch goes on without it.

        Raise `SoldOut`, `EventNotFound` or `RefusedByDatabase` for this purchase alone,
        `Overloaded` when too many wait, `DatabaseUnavailable` when nothing was sent, and
        `OutcomeUnknown` or `Unavailable` when the statement that carried it failed.

        Writes: one pool update per batch and one allocation row per purchase, in one commit.
        """
        event = purchase.event_id
        line = self._lines.get(event)
        if line is None:
            line = self._lines[event] = _Line()
        if len(line.waiting) >= MAX_WAITING:
            raise Overloaded("too many purchases are waiting: try again shortly")
        one = _Waiting(purchase, asyncio.get_running_loop().create_future())
        line.waiting.append(one)
        if line.committer is None:
            line.committer = asyncio.create_task(self._commit_waiting(event, line))
        return await one.answer

    async def _commit_waiting(self, event: str, line: _Line) -> None:
        """Commit batch after batch until nobody waits, then forget the event.

        Between batches the connection goes back to the pool, which lends first in, first out:
        no event keeps the others waiting for longer than its batch.
        """
        try:
            while line.waiting:
                batch: list[_Waiting] = []
                try:
                    async with checkout(self._pool) as connection:
                        if batch := line.take_batch():  # with all who came meanwhile
                            await self._commit(connection, event, batch)
                except Unavailable as problem:
                    line.turn_away(str(problem))
                finally:
                    for one in batch:
                        one.tell()
        except Exception:
            _log.exception("a bug: the committer of an event ended")
        finally:
            del self._lines[event]
            line.turn_away("nothing was sold: try again shortly")

    async def _commit(self, connection: Connection, event: str, batch: list[_Waiting]) -> None:
        """Give everybody in *batch* an outcome."""
        try:
            await self._sell_batch(connection, event, batch)
        except psycopg.Error as problem:
            if len(batch) > 1 and isinstance(problem, psycopg.IntegrityError | psycopg.DataError):
                # All of it was rolled back. One by one, only who causes it is refused.
                for one in batch:
                    await self._commit_alone(connection, event, one)
                return
            for one in batch:
                one.outcome = in_our_terms(problem) or problem

    async def _commit_alone(self, connection: Connection, event: str, one: _Waiting) -> None:
        if connection.closed:
            one.outcome = DatabaseUnavailable("the database went away: try again shortly")
        else:
            await self._commit(connection, event, [one])

    async def _sell_batch(self, connection: Connection, event: str, batch: list[_Waiting]) -> None:
        parameters = {
            "event": event,
            "users": [one.purchase.user_id for one in batch],
            "quantities": [one.purchase.quantity for one in batch],
        }
        if traced := [one.trace for one in batch if one.trace]:
            with tracing_purchase(", ".join(traced)):
                cursor = await self._reserve.execute(connection, **parameters)
        else:
            cursor = await self._reserve.execute(connection, **parameters)
        (answer,) = await cursor.fetchall()
        for position, (one, first) in enumerate(zip(batch, answer.first_tickets, strict=True)):
            if first is None:
                one.outcome = _refusal(answer.refusals[position], event)
            else:
                one.sold(first)


def _refusal(reason: str, event: str) -> TicketsvcError:
    if reason == "sold_out":
        return SoldOut("not enough tickets available")
    if reason == "event_not_found":
        return EventNotFound(f"event {event!r} not found")
    return RefusedByDatabase(f"the database refused it: {reason}")
