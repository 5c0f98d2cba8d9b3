"""A database session whose statements wait for permission, one by one.

An allocator is given a pool that holds one such connection, and does not notice. What it does
between two statements is not held. BEGIN is not held either: it takes no snapshot and no lock.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Self, cast

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncTransaction
from psycopg.pq import TransactionStatus

from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.turns import Turn, Turns


class Session(Turn):
    """One connection, used by one allocator, and the steps it takes.

    *hold_commits*: an autocommit statement that writes becomes two steps, the statement and its
    commit.
    """

    def __init__(
        self,
        turns: "Turns[Session]",
        index: int,
        name: str,
        connection: "SteppedConnection",
        footprints: Footprints,
        *,
        names: Mapping[bytes, str],
        hold_commits: bool,
    ) -> None:
        super().__init__(turns, index, name, connection.info.backend_pid)
        self._connection = connection
        self._footprints = footprints
        self._names = names
        self._hold_commits = hold_commits
        self._lending = asyncio.Lock()
        connection.session = self

    # The part of a pool that allocators use.

    async def getconn(self) -> "SteppedConnection":
        """Lend the one connection."""
        await self._lending.acquire()
        return self._connection

    async def putconn(self, connection: AsyncConnection[Any]) -> None:
        """Take the connection back."""
        self._lending.release()

    # Called by the connection.

    async def run_statement(
        self, query: bytes, parameters: Any, execute: Callable[[], Awaitable[AsyncCursor[Any]]]
    ) -> None:
        """Request a step, run the statement when it is granted, and keep the result."""
        if not self.turns.active:
            await execute()
            return
        footprint = await self._footprints.of(query, parameters)
        autocommit = self._connection.info.transaction_status == TransactionStatus.IDLE
        two_steps = autocommit and self._hold_commits and bool(footprint.changes)
        if two_steps:
            await self._connection.run_unheld("BEGIN")
        alone = autocommit and not two_steps
        level = None if autocommit else self._connection.isolation_level
        self.transaction.level = level.name.replace("_", " ").lower() if level else ""
        effect = self.transaction.add(footprint, alone=alone)
        try:
            async with self._step(self._names.get(query, "statement"), query.decode(), effect):
                cursor = await execute()
                if not alone:
                    self.transaction.locked |= footprint.writes
                read = await _first_row(cursor) if cursor.description else None
                self.turns.update(self, rows=cursor.rowcount, read=read)
        except psycopg.Error:
            self.transaction.forget()
            if two_steps:
                await self._connection.run_unheld("ROLLBACK")
            raise
        if two_steps:
            await self.end("COMMIT", lambda: self._connection.run_unheld("COMMIT"))

    async def end(self, name: str, execute: Callable[[], Awaitable[object]]) -> None:
        """Request a step for the end of the transaction, and run it when it is granted."""
        try:
            async with self._step(name, name, self.transaction.end()):
                await execute()
        finally:
            self.transaction.forget()

    @contextlib.asynccontextmanager
    async def _step(self, name: str, text: str, effect: Effect) -> AsyncIterator[None]:
        await self.turns.ask(self, Step(self.index, name, text, effect))
        try:
            yield
        except psycopg.Error as problem:
            self.turns.failed(self, problem.sqlstate or type(problem).__name__)
            raise
        finally:
            self.turns.runs(self)
            self.turns.changed.set()


class SteppedConnection(AsyncConnection[Any]):
    """A connection that asks its session before each statement."""

    session: Session

    async def run_unheld(self, query: str) -> None:
        """Run *query* without asking."""
        await AsyncCursor(self).execute(query.encode())

    @contextlib.asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        """Open a transaction as psycopg does; its end is a step, unless it has failed already."""
        block = super().transaction(savepoint_name, force_rollback)
        begun = await block.__aenter__()
        try:
            yield begun
        except BaseException as problem:
            roll_back = partial(block.__aexit__, type(problem), problem, problem.__traceback__)
            if self.info.transaction_status == TransactionStatus.INTRANS:
                await self.session.end("ROLLBACK", roll_back)
            else:
                await roll_back()
            raise
        await self.session.end("COMMIT", partial(block.__aexit__, None, None, None))


class SteppedCursor(AsyncCursor[Any]):
    """The cursor of a `SteppedConnection`."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute as psycopg does, when the session lets it."""

        async def now() -> AsyncCursor[Any]:
            return await super(SteppedCursor, self).execute(query, params, **options)

        await cast(SteppedConnection, self.connection).session.run_statement(query, params, now)
        return self


async def _first_row(cursor: AsyncCursor[Any]) -> dict[str, object] | None:
    row = await cursor.fetchone()
    if row is None:
        return None
    await cursor.scroll(0, mode="absolute")
    return dict(zip([column.name for column in cursor.description or ()], row, strict=True))
