"""Make the connection pool of a server process."""

import asyncio
import contextlib
import logging
import os
import select
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor, IsolationLevel
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from ticketsvc.errors import DatabaseUnavailable, Overloaded
from ticketsvc.settings import Settings

Connection = AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]

_log = logging.getLogger("ticketsvc.database")
_RETRY_S = 0.25  # between two attempts to reach a database that is away, of each connector
_CONNECTORS = 3
# A host that vanishes closes no connection: after so many (milli)seconds it counts as gone.
_UNHEARD_OF = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
_CONNECT_TIMEOUT_S = 2  # the least that libpq takes


class ReturningPool(Pool):
    """A pool that refuses at once while the database is away, and is back with it.

    The pool's own attempts grow apart, and whoever waits meanwhile is told only when the time is
    up. Here a few connectors try at a steady pace, for as long as it takes; nobody waits for a
    database that none of them reaches and from which no connection is left.
    """

    _away = False
    _lent = 0

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - its own
        """Lend a connection that the server has not closed meanwhile.

        Raise `PoolTimeout` when there is none in time, and at once while the database is away.
        """
        while True:
            if self._away and not self._pool and not self._lent:
                raise PoolTimeout("the database is away")
            connection = await super().getconn(timeout)
            if not _has_news(connection):
                self._lent += 1
                return connection
            await connection.close()
            await super().putconn(connection)  # a new one is made in its place

    async def putconn(self, connection: Connection) -> None:
        """Take a connection back, or make a new one in its place when it broke."""
        self._lent -= 1
        await super().putconn(connection)

    async def _connect(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - its own
        while True:
            try:
                connection = await super()._connect(timeout)
            except psycopg.OperationalError as problem:
                if not self._away:
                    _log.warning("the database is away: %s", _kind(problem))
                self._away = True
                if self._closed:
                    raise
                await self._turn_away_waiting()
                await asyncio.sleep(_RETRY_S)
            else:
                if self._away:
                    _log.warning("the database is back")
                self._away = False
                return connection

    async def _turn_away_waiting(self) -> None:
        # With one lent, the database may still answer others: too many connections, say.
        while self._waiting and not self._pool and not self._lent:
            await self._waiting.popleft().fail(PoolTimeout("the database is away"))


def _kind(problem: psycopg.OperationalError) -> str:
    # Not its text: that may name the address.
    return f"{type(problem).__name__} {problem.sqlstate or ''}".strip()


def _has_news(connection: Connection) -> bool:
    """Tell whether an idle connection has something to read: in all likelihood, its end."""
    if os.name == "nt":
        return bool(select.select([connection.fileno()], [], [], 0)[0])
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    return bool(look.poll(0))


def make_pool(
    conninfo: str, settings: Settings, cursor_factory: type[AsyncCursor[Any]] = AsyncCursor
) -> Pool:
    """Make a pool, not yet open, of autocommit connections that give named tuples.

    Waiting purchases are served first in, first out; more than `max_waiting` are refused.
    """
    return ReturningPool(
        conninfo,
        kwargs={
            "autocommit": True,
            "row_factory": namedtuple_row,
            "cursor_factory": cursor_factory,
            "application_name": "ticketsvc",
            "connect_timeout": _CONNECT_TIMEOUT_S,
            **_UNHEARD_OF,
            "client_encoding": "utf8",  # what the database cannot store, it refuses by itself
        },
        min_size=settings.pool_size,
        max_size=settings.pool_size,
        max_waiting=settings.max_waiting,
        timeout=settings.pool_timeout_s,
        num_workers=_CONNECTORS,
        open=False,
        name="ticketsvc",
    )


@contextlib.asynccontextmanager
async def checkout(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection for one use.

    Raise `Overloaded` when too many wait already, `DatabaseUnavailable` when none comes free
    in time: in both cases nothing was sent.
    """
    try:
        connection = await pool.getconn()
    except TooManyRequests:
        raise Overloaded("too many purchases are waiting: try again shortly") from None
    except (PoolTimeout, psycopg.OperationalError):
        raise DatabaseUnavailable("the database gives no connection: try again shortly") from None
    try:
        yield connection
    finally:
        await pool.putconn(connection)


@contextlib.asynccontextmanager
async def transaction(connection: Connection, level: IsolationLevel) -> AsyncIterator[None]:
    """Run a transaction at *level*; the connection keeps its own level for the next one."""
    await connection.set_isolation_level(level)
    try:
        async with connection.transaction():
            yield
    finally:
        if not connection.closed:
            await connection.set_isolation_level(None)
