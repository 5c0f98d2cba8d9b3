"""A database of one's own on the same server: nothing of the user's is touched."""

import contextlib
import secrets
from collections.abc import Iterator, Sequence

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.errors import UsageError

_PREFIX = "ticketsvc_explore_"


@contextlib.contextmanager
def scratch_database(url: str, changes: Sequence[str] = ()) -> Iterator[str]:
    """Create a database with both schemas and *changes* of their DDL; drop it at the end.

    Raise `UsageError` when the role may not create one.
    """
    name = f"{_PREFIX}{secrets.token_hex(6)}"
    # By its name, others see that the database is somebody's.
    with psycopg.connect(url, autocommit=True, application_name=name) as owner:
        _drop_left_behind(owner)
        try:
            owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(_named(name)))
        except psycopg.errors.InsufficientPrivilege:
            raise UsageError(
                "exploring works in a database of its own: this role may not create one "
                "(ALTER ROLE … CREATEDB)"
            ) from None
        try:
            address = make_conninfo(url, dbname=name)
            with psycopg.connect(address, autocommit=True) as connection:
                ensure_schemas(connection)
                for change in changes:
                    connection.execute(change.encode())
            yield address
        finally:
            owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_named(name)))


def _drop_left_behind(connection: psycopg.Connection) -> None:
    """Drop the databases of runs that were killed: ours, and nobody is connected by their name."""
    left = connection.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) "
        "AND datdba = current_user::regrole AND NOT EXISTS "
        "(SELECT FROM pg_stat_activity WHERE application_name = pg_database.datname)",
        [_PREFIX],
    ).fetchall()
    for (name,) in left:
        with contextlib.suppress(psycopg.errors.InvalidCatalogName):  # another run was faster
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(_named(name))
            )


def relied_upon(mechanism: Mechanism, schema: str) -> list[str]:
    """Give the DDL that *mechanism* needs beyond *schema*."""
    return [mechanism.constraint.replace("{schema}", schema)] if mechanism.constraint else []


def _named(name: str) -> sql.Identifier:
    return sql.Identifier(name)
