"""A database of one's own on the same server: nothing of the user's is touched."""

import contextlib
import secrets
from collections.abc import Iterator, Sequence

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.errors import UsageError


@contextlib.contextmanager
def scratch_database(conninfo: str, purpose: str, changes: Sequence[str] = ()) -> Iterator[str]:
    """Make a database beside *conninfo*, with both schemas and *changes* of their DDL; drop it.

    It is called after its *purpose*, the command that needs it. What killed runs of the same
    purpose left behind goes first. Raise `UsageError` when the role may not create one.
    """
    prefix = f"ticketsvc_{purpose}_"
    name = f"{prefix}{secrets.token_hex(6)}"
    # By its name, others see that the database is somebody's.
    with psycopg.connect(conninfo, autocommit=True, application_name=name) as owner:
        _drop_left_behind(owner, prefix)
        try:
            owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(_named(name)))
        except psycopg.errors.InsufficientPrivilege:
            raise UsageError(
                f"{purpose} works in a database of its own, and this role may not create one: "
                "give it CREATEDB, or unset DATABASE_URL for an embedded server"
            ) from None
        try:
            address = make_conninfo(conninfo, dbname=name)
            with psycopg.connect(address, autocommit=True) as connection:
                ensure_schemas(connection)
                for change in changes:
                    connection.execute(change.encode())
            yield address
        finally:
            owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_named(name)))


def _drop_left_behind(connection: psycopg.Connection, prefix: str) -> None:
    """Drop the databases of runs that were killed: ours, and nobody is connected by their name."""
    left = connection.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) "
        "AND datdba = current_user::regrole AND NOT EXISTS "
        "(SELECT FROM pg_stat_activity WHERE application_name = pg_database.datname)",
        [prefix],
    ).fetchall()
    for (name,) in left:
        with contextlib.suppress(psycopg.errors.InvalidCatalogName):  # another run was faster
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(_named(name))
            )


def _named(name: str) -> sql.Identifier:
    return sql.Identifier(name)
