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


@contextlib.contextmanager
def scratch_database(url: str, changes: Sequence[str] = ()) -> Iterator[str]:
    """Create a database with both schemas and *changes* of their DDL; drop it at the end.

    Raise `UsageError` when the role may not create one.
    """
    name = f"ticketsvc_explore_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as owner:
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


def relied_upon(mechanism: Mechanism, schema: str) -> list[str]:
    """Give the DDL that *mechanism* needs beyond *schema*."""
    return [mechanism.constraint.replace("{schema}", schema)] if mechanism.constraint else []


def _named(name: str) -> sql.Identifier:
    return sql.Identifier(name)
