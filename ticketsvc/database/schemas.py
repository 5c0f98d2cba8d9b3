"""Create the two schemas."""

from typing import Literal, get_args

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from ticketsvc.database.roles import ensure_seller
from ticketsvc.database.statements import SQL_FOLDER, load
from ticketsvc.errors import UsageError

SchemaName = Literal["original", "fixed"]
SCHEMAS: tuple[SchemaName, ...] = get_args(SchemaName)
_OUR_COMMENT = "ticketsvc schema"
VERSION_COMMENT = f"{_OUR_COMMENT} 4"


def ensure_schemas(connection: Connection, *, recreate: bool = False) -> None:
    """Create the schemas that are missing; with *recreate*, drop and create both.

    Commands that do so at the same time wait for each other. Raise `UsageError` when a schema
    has the name and is not of this version, or is missing and the role may not create it.
    """
    made = False
    with connection.transaction():
        connection.execute(load("schemas")["one_at_a_time"].query)
        for schema in SCHEMAS:
            statements = load("schemas", schema)
            if recreate:
                connection.execute(statements["drop_schema"].query)
            found = connection.execute(
                statements["find_schema"].query, {"schema": schema}
            ).fetchone()
            if found is None:
                _create(connection, schema)
                made = True
            elif not str(found[0]).startswith(VERSION_COMMENT):
                raise UsageError(_mismatch(schema, str(found[0])))
        if made:
            ensure_seller(connection)


def _create(connection: Connection, schema: SchemaName) -> None:
    try:
        with connection.transaction():
            connection.execute(ddl(schema).encode())
            if schema == "fixed" and has_citus(connection):
                connection.execute((SQL_FOLDER / "citus.sql").read_bytes())
    except InsufficientPrivilege:
        raise UsageError(
            f"the database has no schema {schema}, and this role may not create it: "
            "connect as a role that may, or unset DATABASE_URL for an embedded server"
        ) from None


def has_citus(connection: Connection) -> bool:
    """Tell whether the database is a coordinator of Citus, which gets `sql/citus.sql` too."""
    return connection.execute(load("schemas")["has_citus"].query).fetchone() is not None


def _mismatch(schema: SchemaName, made_by: str) -> str:
    if made_by.startswith(_OUR_COMMENT):
        return (
            f"the database's schema {schema} is of another version, {made_by!r}: "
            "if another checkout uses it, set TICKETSVC_HOME to a folder of your own; otherwise "
            "`python3 run.py seed --recreate` drops both schemas and makes them again"
        )
    return f"the database has a schema {schema} that is not ours: use another database"


def ddl(schema: SchemaName) -> str:
    """Return the SQL that creates *schema*."""
    return (SQL_FOLDER / f"{schema}.sql").read_text()
