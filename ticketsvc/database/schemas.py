"""Create the two schemas, fill them, and reset an event in them."""

from dataclasses import dataclass
from typing import Literal, get_args

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from ticketsvc.database.roles import ensure_seller
from ticketsvc.database.statements import SQL_FOLDER, Statement, load
from ticketsvc.errors import UsageError
from ticketsvc.purchases import TICKETS_PER_BLOCK, is_identifier

SchemaName = Literal["original", "fixed"]
SCHEMAS: tuple[SchemaName, ...] = get_args(SchemaName)
_OUR_COMMENT = "ticketsvc schema"
VERSION_COMMENT = f"{_OUR_COMMENT} 4"
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
            connection.execute(step.query, {"event": event, "total": total, "sold": sold})


def reset_steps(schema: SchemaName, sold: int = 0) -> list[Statement]:
    """Return the statements of a reset in order; their parameters are event, total and sold."""
    statements = load("seeding", schema)
    # fixed lets nobody delete tickets of a pool; a repaired original, no pool of tickets.
    order = {
        "original": ("lock_pool", "remove_rows", "remove_pool", "insert_pool_original"),
        "fixed": (
            "remove_pool",
            "remove_rows",
            "remove_ranges",
            "remove_keys",
            "insert_pool_fixed",
        ),
    }
    steps = [statements[name] for name in order[schema]]
    if sold:
        steps.append(statements[f"insert_sold_{'ranges' if schema == 'fixed' else 'rows'}"])
    return steps


def seed_six_events(connection: Connection, schema: SchemaName) -> None:
    """Reset the six events of the original in *schema*."""
    with connection.transaction():
        for seed in SIX_EVENTS:
            reset_event(connection, schema, seed.event, seed.total, seed.sold)
