"""Recognise a pooler, such as PgBouncer, between the service and PostgreSQL."""

import os

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from ticketsvc.database.statements import load
from ticketsvc.errors import PoolerFound, UsageError
from ticketsvc.settings import Pooler


def check_pooler(conninfo: str, pooler: Pooler) -> None:
    """Connect once, and raise when the service could not sell safely over *conninfo*.

    Raise `PoolerFound` when a pooler answers that the settings do not name, and `UsageError` when
    the address has `options`, which a pooler drops or refuses.
    """
    if pooler == "transaction":
        if conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS"):
            raise UsageError(
                "TICKETSVC_POOLER=transaction: a pooler does not pass on PGOPTIONS, or `options` "
                "of the database's address: set them for the role, with ALTER ROLE … SET"
            )
        return
    with psycopg.connect(conninfo, autocommit=True, row_factory=tuple_row) as connection:
        row = connection.execute(load("pooler")["backend_pid"].query).fetchone()
        if row != (connection.info.backend_pid,):
            raise PoolerFound


async def check_connection(connection: "psycopg.AsyncConnection[object]", pooler: Pooler) -> None:
    """Wait until the database answers on *connection*; raise `PoolerFound` as `check_pooler` does.

    A pooler accepts connections while the database is away.
    """
    # A cursor of its own: the connection's may record what it runs.
    cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
    await cursor.execute(load("pooler")["backend_pid"].query)
    if await cursor.fetchone() != (connection.info.backend_pid,) and pooler == "none":
        raise PoolerFound
