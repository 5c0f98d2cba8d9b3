"""Create the two schemas, fill them, and reset an event in them."""

from dataclasses import dataclass
from typing import Literal, get_args

from psycopg import Connection
from psycopg.errors import DuplicateSchema, InsufficientPrivilege

from ticketsvc.database.roles import ensure_seller
from ticketsvc.database.statements import SQL_FOLDER, Statement, load
from ticketsvc.errors import UsageError
from ticketsvc.purchases import TICKETS_PER_BLOCK, is_identifier

SchemaName = Literal["original", "fixed"]
SCHEMAS: tuple[SchemaName, ...] = get_args(SchemaName)
VERSION_COMMENT = "ticketsvc schema 3"
MAX_TOTAL = 2_000_000_000  # ticket numbers are 4-byte integers


@dataclass(frozen=True)
class EventSeed:
    """An event, its total, and how many of its tickets are sold from the start."""

    event: str
    name: str
    total: int
    sold: int


SIX_EVENTS = (
    EventSeed("EVENT001", "Summer Music Festival", 5000, 200),
    EventSeed("EVENT002", "Tech Conference", 3000, 80),
    EventSeed("EVENT003", "Food & Wine Expo", 2500, 160),
    EventSeed("EVENT004", "Comedy Night", 1500, 0),
    EventSeed("EVENT005", "Art Gallery Opening", 2000, 24),
    EventSeed("EVENT006", "Rock Concert", 4000, 800),
)


def ensure_schemas(connection: Connection, *, recreate: bool = False) -> None:
    """Create the schemas that are missing; with *recreate*, drop and create both.

    Raise `UsageError` when a schema of the name is there but of another make, or is missing and
    the connected role may not create it.
    """
    made = False
    with connection.transaction():
        for schema in SCHEMAS:
            if recreate:
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            found = connection.execute(
                "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s",
                [schema],
            ).fetchone()
            if found is None:
                try:
                    with connection.transaction():
                        connection.execute(ddl(schema).encode())
                        made = True
                except DuplicateSchema:  # another command made it meanwhile
                    continue
                except InsufficientPrivilege:
                    raise UsageError(
                        f"the database has no schema {schema}, and this role may not create it: "
                        f"run `ticketsvc seed` as the database's owner"
                    ) from None
            elif not str(found[0]).startswith(VERSION_COMMENT):
                raise UsageError(
                    f"the database has a schema {schema} that is not '{VERSION_COMMENT}': "
                    f"use another database, or `ticketsvc seed --recreate` to drop and rebuild it"
                )
        if made:
            ensure_seller(connection)


def ddl(schema: SchemaName) -> str:
    """Return the SQL that creates *schema*."""
    return (SQL_FOLDER / f"{schema}.sql").read_text()


def reset_event(
    connection: Connection, schema: SchemaName, event: str, total: int, sold: int = 0
) -> None:
    """Replace *event* in *schema*: a pool of *total*, the first *sold* tickets issued.

    One transaction; *sold* is a multiple of 8, at most *total*. Raise `UsageError` otherwise.
    """
    if not is_identifier(event):
        raise UsageError(f"event {event[:60]!r}: an id has 1 to 50 characters, no control ones")
    if not 0 <= total <= MAX_TOTAL:
        raise UsageError(f"total {total}: must be between 0 and {MAX_TOTAL}")
    if sold % TICKETS_PER_BLOCK or not 0 <= sold <= total:
        raise UsageError(f"sold {sold}: must be a multiple of 8 between 0 and the total {total}")
    with connection.transaction():
        for step in reset_steps(schema, sold):
            _execute(connection, step, event=event, total=total, sold=sold)


def reset_steps(schema: SchemaName, sold: int = 0) -> list[Statement]:
    """Return the statements of a reset, in their order; they take event, total and sold."""
    statements = load("seeding", schema)
    steps = [statements["remove_pool"], statements["remove_rows"]]
    if schema == "fixed":
        steps += [
            statements[name] for name in ("remove_ranges", "remove_keys", "insert_pool_fixed")
        ]
    else:
        steps += [statements["insert_pool_original"]]
    if sold:
        steps.append(statements[f"insert_sold_{'ranges' if schema == 'fixed' else 'rows'}"])
    return steps


def seed_six_events(connection: Connection, schema: SchemaName) -> None:
    """Reset the six events of the original in *schema*."""
    with connection.transaction():
        for seed in SIX_EVENTS:
            reset_event(connection, schema, seed.event, seed.total, seed.sold)


def _execute(connection: Connection, step: Statement, **parameters: object) -> None:
    connection.execute(step.query, parameters)
