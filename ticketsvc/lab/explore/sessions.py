"""A database session whose statements wait for permission, one by one.

An allocator is given a pool that holds one such connection, and does not notice. What it does
between two statements is not held. BEGIN is not held either: it takes no snapshot and no lock.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self, cast

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncTransaction, IsolationLevel
from psycopg.pq import TransactionStatus

from ticketsvc.lab.explore.effects import (
    NOTHING,
    Effect,
    end_of_transaction,
    statement,
)
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.schedules import Step

_KEEPS_SNAPSHOT = (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


class Session:
    """One connection, used by one allocator, and the steps it takes.

    A step is first `requested`; `latest` is the last granted one, complete with its result once it
    has run. `locked` are the
    relations in which its open transaction holds locks. Others read these and do not set them.
    *hold_commits*: an autocommit statement that writes becomes two steps, the statement and its
    commit.
    """

    def __init__(
        self,
        index: int,
        name: str,
        connection: "SteppedConnection",
        footprints: Footprints,
        *,
        names: Mapping[bytes, str],
        changed: asyncio.Event,
        hold_commits: bool,
    ) -> None:
        self.index, self.name = index, name
        self.pid = connection.info.backend_pid
        self._connection = connection
        self._footprints = footprints
        self._names = names
        self._changed = changed
        self._hold_commits = hold_commits
        self._lending = asyncio.Lock()
        self.requested: Step | None = None
        self.latest: Step | None = None
        self._granted: asyncio.Future[None] | None = None
        self._unheld = True
        self._touched = self.locked = NOTHING
        self._begun = False
        connection.session = self

    # The part of a pool that allocators use.

    async def getconn(self) -> "SteppedConnection":
        """Lend the one connection."""
        await self._lending.acquire()
        return self._connection

    async def putconn(self, connection: AsyncConnection[Any]) -> None:
        """Take the connection back."""
        self._lending.release()

    # Called by the scheduler.

    @property
    def step(self) -> Step | None:
        """The step that it requests, or else its last one."""
        return self.requested or self.latest

    def start_schedule(self) -> None:
        """Hold every statement from now on."""
        self._unheld = False
        self.requested = self.latest = None

    def grant(self) -> Step:
        """Let the requested step run, and return it."""
        step, granted = self.requested, self._granted
        if step is None or granted is None:
            raise RuntimeError(f"session {self.name} requests no step")
        self.requested, self.latest = None, step
        granted.set_result(None)
        return step

    def end_schedule(self) -> None:
        """Let the requested step and all that follow run freely."""
        self._unheld = True
        if self.requested:
            self.grant()

    # Called by the connection.

    async def run_statement(
        self, query: bytes, parameters: Any, execute: Callable[[], Awaitable[AsyncCursor[Any]]]
    ) -> None:
        """Request a step, run the statement when it is granted, and keep the result."""
        if self._unheld:
            await execute()
            return
        footprint = await self._footprints.of(query, parameters)
        autocommit = self._connection.info.transaction_status == TransactionStatus.IDLE
        two_steps = autocommit and self._hold_commits and bool(footprint.changes)
        if two_steps:
            await self._connection.run_unheld("BEGIN")
        level = None if autocommit else self._connection.isolation_level
        effect = statement(
            footprint,
            ends=autocommit and not two_steps,
            snapshot=level in _KEEPS_SNAPSHOT and not self._begun,
            serializable=level == IsolationLevel.SERIALIZABLE,
        )
        if two_steps or not autocommit:
            self._begun = True
            self._touched |= footprint.changes
        try:
            async with self._step(self._names.get(query, "statement"), query.decode(), effect):
                cursor = await execute()
                if two_steps or not autocommit:
                    self.locked |= footprint.writes
                read = await _first_row(cursor) if cursor.description else None
                self._update(rows=cursor.rowcount, read=read)
        except psycopg.Error:
            # The transaction has ended, and its locks with it: those who wait for them see that.
            self._update(effect=replace(effect, publishes=effect.publishes | self._touched))
            self._forget_transaction()
            if two_steps:
                await self._connection.run_unheld("ROLLBACK")
            raise
        if two_steps:
            await self.end("COMMIT", lambda: self._connection.run_unheld("COMMIT"))

    async def end(self, name: str, execute: Callable[[], Awaitable[object]]) -> None:
        """Request a step for the end of the transaction, and run it when it is granted."""
        serializable = self._connection.isolation_level == IsolationLevel.SERIALIZABLE
        effect = end_of_transaction(self._touched, serializable=serializable)
        try:
            if self._unheld:
                await execute()
                return
            async with self._step(name, name, effect):
                await execute()
        finally:
            self._forget_transaction()

    @contextlib.asynccontextmanager
    async def _step(self, name: str, text: str, effect: Effect) -> AsyncIterator[None]:
        if not self._unheld:  # the schedule may have ended while the footprint was asked for
            self.requested = Step(self.index, name, text, effect)
            self._granted = asyncio.get_running_loop().create_future()
            self._changed.set()
            await self._granted
        try:
            yield
        except psycopg.Error as problem:
            self._update(error=problem.sqlstate or type(problem).__name__)
            raise

    def _update(self, **result: Any) -> None:
        if self.latest:
            self.latest = replace(self.latest, **result)

    def _forget_transaction(self) -> None:
        self._touched, self.locked, self._begun = NOTHING, NOTHING, False


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
