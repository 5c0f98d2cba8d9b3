"""A session of the database whose every statement waits for its turn.

An allocator gets a pool with one such connection and knows nothing of it. What it does between
two statements runs on; BEGIN does too, since it takes no snapshot and no lock.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncTransaction, IsolationLevel
from psycopg.pq import TransactionStatus

from ticketsvc.lab.explore.effects import NOTHING, end_of_transaction, statement
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.schedules import Event

_KEEPS_SNAPSHOT = (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


class Session:
    """One connection, lent to one allocator, and the step it asks for or is taking."""

    connection: "SteppedConnection"

    def __init__(self, place: int, footprints: Footprints, names: Mapping[bytes, str]) -> None:
        self.place = place
        self.asks: Event | None = None
        """The step it wants to take next; None while it takes one, or when it is done."""

        self.takes: Event | None = None
        """The step under way."""

        self.changed: Callable[[], None] = lambda: None
        """Called whenever it asks, or ends a step."""

        self.hold_commits = False
        self.free = True
        """Whether it runs on without asking: before and after a schedule."""

        self._footprints = footprints
        self._names = names
        self._granted: asyncio.Future[None] | None = None
        self._free_connection = asyncio.Lock()
        self._touched = NOTHING
        self.locked = NOTHING
        """Relations of which it holds locks: somebody could be waiting for this one."""

        self._begun = False

    # What an allocator's pool has to have.

    async def getconn(self) -> "SteppedConnection":
        """Lend the one connection."""
        await self._free_connection.acquire()
        return self.connection

    async def putconn(self, connection: AsyncConnection[Any]) -> None:
        """Take it back."""
        self._free_connection.release()

    # What the stage does with it.

    def grant(self) -> Event:
        """Let the step go that is asked for, and return it."""
        step, granted = self.asks, self._granted
        assert step and granted  # noqa: S101 - only who asks is granted
        self.asks, self.takes = None, step
        granted.set_result(None)
        return step

    def let_run(self) -> None:
        """Grant this and every further step."""
        self.free = True
        if self.asks:
            self.grant()

    # What the connection tells of its statements.

    async def run_statement(
        self, query: bytes, parameters: Any, execute: Callable[[], Awaitable[AsyncCursor[Any]]]
    ) -> None:
        """Ask for a turn, run the statement, and keep what it read."""
        if self.free:
            await execute()
            return
        footprint = await self._footprints.of(query, parameters)
        alone = self.connection.info.transaction_status == TransactionStatus.IDLE
        held = alone and self.hold_commits and bool(footprint.changes)
        if held:
            await self.connection.plainly("BEGIN")
        level = None if alone else self.connection.isolation_level
        event = Event(
            self.place,
            self._names.get(query, "statement"),
            query.decode(),
            statement(
                footprint,
                ends=alone and not held,
                snapshot=level in _KEEPS_SNAPSHOT and not self._begun,
                serializable=level == IsolationLevel.SERIALIZABLE,
            ),
        )
        if held or not alone:
            self._begun = True
            self._touched |= footprint.changes
        try:
            async with self._turn(event):
                cursor = await execute()
                if held or not alone:
                    self.locked |= footprint.writes
                event.rows = cursor.rowcount
                if cursor.description:
                    event.read = await _first_row(cursor)
        except psycopg.Error:
            # Its transaction is gone, and with it the locks: that is seen by who waits for them.
            published = event.effect.publishes | self._touched
            event.effect = replace(event.effect, publishes=published)
            self._forget()
            if held:
                await self.connection.plainly("ROLLBACK")
            raise
        if held:
            await self.end("COMMIT", lambda: self.connection.plainly("COMMIT"))

    async def end(self, name: str, execute: Callable[[], Awaitable[object]]) -> None:
        """Ask for a turn to end the transaction."""
        serializable = self.connection.isolation_level == IsolationLevel.SERIALIZABLE
        effect = end_of_transaction(self._touched, serializable=serializable)
        try:
            if self.free:
                await execute()
                return
            async with self._turn(Event(self.place, name, name, effect)):
                await execute()
        finally:
            self._forget()

    def _forget(self) -> None:
        self._touched, self.locked, self._begun = NOTHING, NOTHING, False

    @contextlib.asynccontextmanager
    async def _turn(self, event: Event) -> AsyncIterator[None]:
        self.asks = event
        self._granted = asyncio.get_running_loop().create_future()
        self.changed()
        await self._granted
        try:
            yield
        except psycopg.Error as problem:
            event.error = problem.sqlstate or type(problem).__name__
            raise
        finally:
            self.takes = None


class SteppedConnection(AsyncConnection[Any]):
    """A connection that asks its session before each statement."""

    session: Session

    async def plainly(self, query: str) -> None:
        """Run *query* without a turn."""
        await AsyncCursor(self).execute(query.encode())

    @contextlib.asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        """As psycopg's, with a turn for its end; none to roll back what has failed already."""
        async with contextlib.AsyncExitStack() as stack:
            begun = await stack.enter_async_context(
                super().transaction(savepoint_name, force_rollback)
            )
            ending = stack.pop_all()
            try:
                yield begun
            except BaseException as problem:
                roll_back = partial(ending.__aexit__, type(problem), problem, problem.__traceback__)
                if self.info.transaction_status == TransactionStatus.INTRANS:
                    await self.session.end("ROLLBACK", roll_back)
                else:
                    await roll_back()
                raise
            await self.session.end("COMMIT", lambda: ending.__aexit__(None, None, None))


class SteppedCursor(AsyncCursor[Any]):
    """The cursor of a `SteppedConnection`."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """As psycopg's, when the session has its turn."""

        async def now() -> AsyncCursor[Any]:
            return await super(SteppedCursor, self).execute(query, params, **options)

        connection = self.connection
        assert isinstance(connection, SteppedConnection)  # noqa: S101 - made with it
        await connection.session.run_statement(query, params, now)
        return self


async def _first_row(cursor: AsyncCursor[Any]) -> dict[str, object] | None:
    row = await cursor.fetchone()
    if row is None:
        return None
    await cursor.scroll(0, mode="absolute")
    return dict(zip([column.name for column in cursor.description or ()], row, strict=True))
