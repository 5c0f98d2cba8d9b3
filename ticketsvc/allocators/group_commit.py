"""Purchases that wait together commit together."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from ticketsvc.allocators.event_queue import Batch, Line, Waiting
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.arrays import array_literal
from ticketsvc.database.error_translation import translate_database_error
from ticketsvc.database.pool import Connection, Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.database.trace import tracing_purchase
from ticketsvc.errors import DatabaseUnavailable, Unavailable
from ticketsvc.purchases import Purchase, TicketRange

MAX_BATCH = 128  # purchases in one statement
LANES = 1  # statements under way at a time, those that wait for a rival's lock not counted

# What one purchase can bring upon all that are in the statement with it.
_OF_ONE = (psycopg.IntegrityError, psycopg.DataError, DeadlockDetected, LockNotAvailable)

_log = logging.getLogger("ticketsvc.allocators")


class GroupCommit:
    """A few lanes commit whoever waits, events in turn; no timer holds anybody back."""

    mechanism: ClassVar = Mechanism(
        name="group_commit",
        summary="purchases that wait together commit in one statement",
        safe=True,
        schemas=("fixed",),
        claims_keys=True,
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        self._pool = pool
        statements = load("group_commit", schema)
        self._reserve = statements["reserve"]
        self._reserve_several = statements["reserve_several"]
        self._lines: dict[str, Line] = {}  # of events with purchases waiting or under way
        self._ready: deque[Line] = deque()  # those that no committer has taken
        self._lanes: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # those, and who waits for a rival
        self._loop: asyncio.AbstractEventLoop | None = None

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Wait in the event's line until a lane reserves for all who wait, or for one alone.

        The database's `reserve` locks the pool row, then judges each in order of arrival as if
        it were alone: rivals of other processes wait for the row and see what was committed. An
        event is in one statement at a time. A caller that is cancelled leaves the line; once
        under way, its batch goes on without it.

        Raise `SoldOut`, `EventNotFound`, `KeyUsed` or `RefusedByDatabase` for this purchase
        alone, `DatabaseUnavailable` when nothing was sent, and `OutcomeUnknown` or `Unavailable`
        when the statement that carried it failed.

        Writes: one pool update per event, and one allocation row and a key, if there is one, per
        purchase, in one commit.
        """
        event = purchase.event_id
        line = self._lines.get(event)
        if line is None:
            line = self._lines[event] = Line(event)
            self._ready.append(line)
        if self._loop is None:  # asked once: up to Python 3.11 each asking is a system call
            self._loop = asyncio.get_running_loop()
        one = Waiting(purchase, self._loop.create_future())
        line.waiting.append(one)
        self._open_lane()
        return await one.answer

    # Lanes

    def _open_lane(self) -> None:
        if self._ready and len(self._lanes) < LANES:
            self._lanes.add(self._start(self._work()))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _leave_lane(self) -> None:
        lane = asyncio.current_task()
        if lane in self._lanes:
            self._lanes.remove(lane)

    async def _work(self) -> None:
        """Be a lane until no line is ready, or until a rival holds the row of a lone one."""
        lane = asyncio.current_task()
        try:
            while self._ready and lane in self._lanes:
                await self._commit_ready()
        except Exception:
            _log.exception("a bug: a lane of group commit ended")
            self._turn_away_ready(Unavailable("nothing was sold: try again shortly"))
        finally:
            self._leave_lane()
            self._open_lane()

    async def _commit_ready(self) -> None:
        """Sell to the lines that are ready, on a connection of the pool for one statement."""
        batches: list[Batch] = []
        aside: list[Batch] = []
        try:
            async with checkout(self._pool) as connection:
                batches = self._take_ready()  # with all who came meanwhile
                if batches:
                    aside = await self._sell(connection, batches)
                if aside and len(batches) == 1:
                    self._leave_lane()
                    self._open_lane()
                    aside = []
                    await self._sell_alone(connection, batches[0])
        except Unavailable as problem:
            self._turn_away_ready(problem)
        finally:
            for batch in batches:
                if batch not in aside:
                    self._end(batch)
        for batch in aside:
            self._start(self._sell_aside(batch))

    async def _sell_aside(self, batch: Batch) -> None:
        """Sell to a batch that was put aside, outside the lanes: nobody else waits for it."""
        try:
            async with checkout(self._pool) as connection:
                await self._sell_alone(connection, batch)
        except Unavailable as problem:
            batch.fail(problem)
        finally:
            self._end(batch)
            self._open_lane()

    def _take_ready(self) -> list[Batch]:
        batches: list[Batch] = []
        room = MAX_BATCH
        while self._ready and room:
            line = self._ready.popleft()
            batch = line.take(room)
            if batch.members:
                batches.append(batch)
                room -= len(batch.members)
            else:  # all of it has left
                del self._lines[line.event]
        return batches

    def _end(self, batch: Batch) -> None:
        batch.tell()
        if batch.line.waiting:
            self._ready.append(batch.line)
        else:
            del self._lines[batch.line.event]

    def _turn_away_ready(self, problem: Unavailable) -> None:
        while self._ready:
            line = self._ready.popleft()
            line.turn_away(problem)
            del self._lines[line.event]

    # Statements

    async def _sell(self, connection: Connection, batches: list[Batch]) -> list[Batch]:
        """Return everybody an outcome, but for the batches that are given back, to be put aside.

        Those whose pool row a rival holds; and all of them when one purchase has spoiled the
        statement, which was then rolled back.
        """
        try:
            if len(batches) == 1:
                return await self._sell_one(connection, batches[0], wait=False)
            return await self._sell_several(connection, batches)
        except _OF_ONE:
            return batches
        except psycopg.Error as problem:
            for batch in batches:
                batch.fail(translate_database_error(problem) or problem)
            return []

    async def _sell_alone(self, connection: Connection, batch: Batch) -> None:
        """Return everybody of one batch an outcome; wait for a rival, look for who spoils it."""
        try:
            await self._sell_one(connection, batch, wait=True)
        except psycopg.Error as problem:
            # All of it was rolled back. In pieces, only who causes it is refused.
            one_to_blame = isinstance(problem, _OF_ONE)
            pieces = _pieces(batch) if one_to_blame and len(batch.members) > 1 else []
            if not pieces:
                batch.fail(translate_database_error(problem) or problem)
            for piece in pieces:
                if connection.closed:
                    piece.fail(DatabaseUnavailable("the database went away: try again shortly"))
                else:
                    await self._sell_alone(connection, piece)

    async def _sell_one(self, connection: Connection, batch: Batch, *, wait: bool) -> list[Batch]:
        with _tracing([batch]):
            cursor = await self._reserve.execute(
                connection,
                event=batch.line.event,
                users=array_literal(one.purchase.user_id for one in batch.members),
                quantities=array_literal(one.purchase.quantity for one in batch.members),
                wait=wait,
                keys=_keys(batch.members),
            )
        (answer,) = await cursor.fetchall()
        return [] if batch.take_answer(answer.first_tickets, answer.refusals) else [batch]

    async def _sell_several(self, connection: Connection, batches: list[Batch]) -> list[Batch]:
        members = [one for batch in batches for one in batch.members]
        with _tracing(batches):
            cursor = await self._reserve_several.execute(
                connection,
                events=array_literal(one.purchase.event_id for one in members),
                users=array_literal(one.purchase.user_id for one in members),
                quantities=array_literal(one.purchase.quantity for one in members),
                keys=_keys(members),
            )
        answers = {answer.event: answer for answer in await cursor.fetchall()}
        return [
            batch
            for batch in batches
            if not batch.take_answer(
                answers[batch.line.event].first_tickets, answers[batch.line.event].refusals
            )
        ]


def _keys(members: Sequence[Waiting]) -> str | None:
    keys = [one.purchase.key for one in members]
    return array_literal(keys) if any(keys) else None


def _pieces(batch: Batch) -> list[Batch]:
    return [Batch(batch.line, [one]) for one in batch.members]


def _tracing(batches: list[Batch]) -> contextlib.AbstractContextManager[None]:
    names = [one.trace for batch in batches for one in batch.members if one.trace]
    return tracing_purchase(", ".join(names)) if names else contextlib.nullcontext()
