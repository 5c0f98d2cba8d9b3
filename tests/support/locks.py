"""Hold a lock in PostgreSQL, and see who waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql


@contextmanager
def hold_pool(
    url: str, schema: str = "fixed", event: str | None = None
) -> Iterator[psycopg.Connection]:
    """Hold the pool row of *event*, or every pool row, until the block ends."""
    query = sql.SQL(
        "SELECT FROM {} WHERE event_id = %(event)s OR %(event)s::text IS NULL FOR UPDATE"
    )
    with hold(url, query.format(sql.Identifier(schema, "ticket_pools")), {"event": event}) as held:
        yield held


@contextmanager
def hold_table(
    url: str, schema: str, table: str, mode: str = "ACCESS EXCLUSIVE"
) -> Iterator[psycopg.Connection]:
    """Hold a lock of *mode* on the table until the block ends."""
    query = sql.SQL("LOCK TABLE {} IN {} MODE").format(sql.Identifier(schema, table), sql.SQL(mode))
    with hold(url, query) as held:
        yield held


@contextmanager
def hold(url: str, query, parameters=None) -> Iterator[psycopg.Connection]:
    """Run *query* in a transaction that is rolled back when the block ends."""
    holder = psycopg.connect(url)
    try:
        holder.execute(query, parameters)
        yield holder
    finally:
        holder.close()


def blocked_by(connection: psycopg.Connection, holder: psycopg.Connection) -> list[int]:
    """Return the process ids of the sessions that wait for *holder*."""
    rows = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))",
        [holder.info.backend_pid],
    )
    return [pid for (pid,) in rows]


def is_blocked(connection: psycopg.Connection, pid: int, by: int) -> bool:
    """Tell whether session *pid* waits for session *by*."""
    return connection.execute("SELECT %s = ANY (pg_blocking_pids(%s))", [by, pid]).fetchone()[0]
