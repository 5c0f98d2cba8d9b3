"""Make the connection pool of a server process."""

import contextlib
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


def make_pool(
    conninfo: str, settings: Settings, cursor_factory: type[AsyncCursor[Any]] = AsyncCursor
) -> Pool:
    """Make a pool, not yet open, of autocommit connections that give named tuples.

    Waiting purchases are served first in, first out; more than `max_waiting` are refused.
    """
    return AsyncConnectionPool(
        conninfo,
        kwargs={
            "autocommit": True,
            "row_factory": namedtuple_row,
            "cursor_factory": cursor_factory,
            "application_name": "ticketsvc",
            "connect_timeout": 5,
            "client_encoding": "utf8",  # what the database cannot store, it refuses by itself
        },
        min_size=settings.pool_size,
        max_size=settings.pool_size,
        max_waiting=settings.max_waiting,
        timeout=settings.pool_timeout_s,
        reconnect_timeout=5,
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
