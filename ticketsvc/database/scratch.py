"""A database for one run on the user's server, so that the user's own is left alone."""

import contextlib
import secrets
import traceback
from collections.abc import Iterator, Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.database.statements import load
from ticketsvc.errors import UsageError
from ticketsvc.interrupts import postponed


@contextlib.contextmanager
def scratch_database(
    conninfo: str, purpose: str, changes: Sequence[str] = (), *, schemas: bool = True
) -> Iterator[str]:
    """Make a database beside *conninfo*, with both schemas and *changes* of their DDL; drop it.

    Of several hosts the address names the one that answered: drivers and proxies know one.

    Its name contains *purpose*, the command that needs it. Databases that killed runs of the same
    purpose left behind are dropped first. Raise `UsageError` when the role may not create one.
    """
    prefix = f"ticketsvc_{purpose}_"
    name = f"{prefix}{secrets.token_hex(6)}"
    statements = load("scratch", database=name)
    # The application's name shows other runs that the database is in use.
    with psycopg.connect(conninfo, autocommit=True, application_name=name) as owner:
        _drop_left_behind(owner, prefix)
        encoding = owner.info.parameter_status("server_encoding")
        with contextlib.ExitStack() as stack:
            with postponed():
                try:
                    psycopg.ClientCursor(owner).execute(
                        statements["create_database"].query, {"encoding": encoding}
                    )
                except psycopg.errors.InsufficientPrivilege:
                    raise UsageError(
                        f"{purpose} works in a database of its own, and this role may not create "
                        "one: give it CREATEDB, or unset DATABASE_URL for an embedded server"
                    ) from None
                stack.callback(owner.execute, statements["drop_database"].query)
            try:
                address = make_conninfo(conninfo, dbname=name, **_host_of(owner, conninfo))
                with psycopg.connect(address, autocommit=True) as connection:
                    if schemas:
                        ensure_schemas(connection)
                    for change in changes:
                        connection.execute(change.encode())
                yield address
            except BaseException as problem:
                # A connection that a signal interrupted while it opened would hold up the drop.
                traceback.clear_frames(problem.__traceback__)
                raise


def _host_of(connection: psycopg.Connection, conninfo: str) -> dict[str, str | int]:
    """Return where *connection* leads, if its address *conninfo* names several hosts."""
    if "," not in str(conninfo_to_dict(conninfo).get("host")):
        return {}
    return {"host": connection.info.host, "port": connection.info.port}


def _drop_left_behind(owner: psycopg.Connection, prefix: str) -> None:
    left = owner.execute(load("scratch")["left_behind"].query, {"prefix": prefix}).fetchall()
    for (name,) in left:
        owner.execute(load("scratch", database=name)["drop_database"].query)
