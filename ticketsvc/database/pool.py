"""The connection pool of a server process, with a circuit breaker in front of it."""

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, AsyncCursor, IsolationLevel
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from ticketsvc.database.connection import ConfirmingConnection
from ticketsvc.database.pooler import check_connection
from ticketsvc.database.statements import load
from ticketsvc.errors import DatabaseUnavailable, Overloaded, PoolerFound
from ticketsvc.settings import Settings

Connection = AsyncConnection[Any]
Cursor = AsyncCursor[Any]

_log = logging.getLogger("ticketsvc.database")
_PROBE_INTERVAL_S = 0.25
# A connection attempt that fails is repeated once; then the pool reports it.
_RECONNECT_TIMEOUT_S = 0.1
_CONNECT_TIMEOUT_S = 2  # the shortest that libpq accepts
# A host that disappears closes no connection: after this long without a sign it counts as gone.
_TCP_LIMITS = {
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


class Pool:
    """A pool of autocommit connections, which refuses at once while the database is away.

    Rows are named tuples. Purchases wait for a connection first in, first out; more than
    `max_waiting` are refused.

    The breaker opens when a connection attempt has failed and no connection is left, idle or
    lent: as long as one is lent, the database may still serve it and refuse only new ones. A
    probe closes the breaker as soon as the database accepts a connection again.
    """

    def __init__(
        self, conninfo: str, settings: Settings, cursor_factory: type[Cursor] = AsyncCursor
    ) -> None:
        self._conninfo = conninfo
        self._parameters: dict[str, Any] = {
            "autocommit": True,
            "row_factory": namedtuple_row,
            "cursor_factory": cursor_factory,
            "application_name": "ticketsvc",
            "connect_timeout": _CONNECT_TIMEOUT_S,
            **_TCP_LIMITS,
            "client_encoding": "utf8",  # the database refuses what it cannot store
        }
        if settings.pooler == "transaction":
            # It may send each transaction to another session, which has not prepared the statement.
            self._parameters["prepare_threshold"] = None
        self._pooler = settings.pooler
        self._pooler_found = False  # by the latest attempt to connect
        self._connections: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            connection_class=ConfirmingConnection,
            kwargs=self._parameters,
            configure=self._check,
            min_size=settings.pool_size,
            max_size=settings.pool_size,
            max_waiting=settings.max_waiting,
            timeout=settings.pool_timeout_s,
            reconnect_timeout=_RECONNECT_TIMEOUT_S,
            reconnect_failed=self._connection_attempt_failed,
            open=False,
            name="ticketsvc",
        )
        self._lent: set[Connection] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._probe: asyncio.Task[None] | None = None  # runs while the breaker is open
        self._hung_up = False

    async def __aenter__(self) -> Self:
        """Start connecting, and do not wait: `getconn` refuses until there is a database."""
        await self._connections.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection, and refuse who waits for one."""
        if self._probe is not None:
            self._probe.cancel()
        await self._connections.close()

    def hang_up(self) -> None:
        """Lend no connection any more, and break those that are lent, without a cancellation.

        A cancelled statement may have stopped waiting for a standby: others would see a sale
        that a failover loses.
        """
        self._hung_up = True
        self._end_waits()
        for connection in self._lent:
            with (
                contextlib.suppress(OSError, psycopg.OperationalError),  # it is broken
                socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as twin,
            ):
                twin.shutdown(socket.SHUT_RDWR)

    def get_stats(self) -> dict[str, int]:
        """Return what psycopg_pool counts: `pool_size`, `requests_waiting` and so on."""
        return self._connections.get_stats()

    async def getconn(self) -> Connection:
        """Lend a connection that the server has not closed; nothing has been sent on it.

        Raise `Overloaded` when too many wait already, and `DatabaseUnavailable` when none comes
        free in time, or at once while the breaker is open.
        """
        try:
            while True:
                connection = await self._next_connection()
                if not _is_readable(connection):
                    self._lent.add(connection)
                    return connection
                await connection.close()
                await self._connections.putconn(connection)  # the pool makes a new one
        except TooManyRequests:
            raise Overloaded("too many purchases are waiting: try again shortly") from None
        except (TimeoutError, PoolTimeout, PoolClosed, psycopg.OperationalError):
            if self._pooler_found:
                raise PoolerFound from None
            raise DatabaseUnavailable(
                "the database gives no connection: try again shortly"
            ) from None

    async def putconn(self, connection: Connection) -> None:
        """Take a connection back, or make a new one in its place when it broke."""
        self._lent.discard(connection)
        await self._connections.putconn(connection)

    async def _next_connection(self) -> Connection:
        if self._probe is not None or self._hung_up:
            raise PoolTimeout("the database is away, or this process ends")
        async with asyncio.timeout(None) as wait:  # `_end_waits` ends it
            self._waits.add(wait)
            try:
                return await self._connections.getconn()
            finally:
                self._waits.discard(wait)

    async def _check(self, connection: Connection) -> None:
        """Let a new connection into the pool when a purchase may be sent on it, or close it."""
        try:
            await check_connection(connection, self._pooler)
            if self._pooler == "none":  # a pooler would keep it for another client
                await AsyncCursor(connection).execute(load("sessions")["show_warnings"].query)
        except BaseException as problem:
            self._pooler_found = isinstance(problem, PoolerFound)
            await connection.close()
            raise
        self._pooler_found = False

    async def _connection_attempt_failed(self, _: AsyncConnectionPool[Connection]) -> None:
        usable = self._lent or self.get_stats()["pool_available"]
        if not usable and self._probe is None:
            self._open_breaker()

    def _open_breaker(self) -> None:
        self._probe = asyncio.create_task(self._probe_until_back())
        self._end_waits()

    def _end_waits(self) -> None:
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    async def _probe_until_back(self) -> None:
        reported = False
        while (problem := await self._try_to_connect()) is not None:
            if not reported:
                # Not the error's text: that may name the address.
                sqlstate = problem.sqlstate if isinstance(problem, psycopg.Error) else None
                kind = f"{type(problem).__name__} {sqlstate or ''}".strip()
                _log.warning("the database is away: %s", kind)
            reported = True
            await asyncio.sleep(_PROBE_INTERVAL_S)
        self._probe = None
        if reported:
            _log.warning("the database is back")

    async def _try_to_connect(self) -> psycopg.Error | PoolerFound | None:
        try:
            connection = await AsyncConnection.connect(self._conninfo, **self._parameters)
            await self._check(connection)
        except (psycopg.Error, PoolerFound) as problem:
            return problem
        await connection.close()
        return None


def _is_readable(connection: Connection) -> bool:
    """Tell whether an idle connection has something to read: the server has closed it."""
    if os.name == "nt":
        return bool(select.select([connection.fileno()], [], [], 0)[0])
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))


@contextlib.asynccontextmanager
async def checkout(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection of *pool* for one use; raise as `Pool.getconn` does."""
    connection = await pool.getconn()
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
