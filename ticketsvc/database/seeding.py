"""Fill the schemas with events, and reset an event in them."""

from dataclasses import dataclass

from psycopg import Connection

from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import Statement, load
from ticketsvc.errors import UsageError
from ticketsvc.purchases import TICKETS_PER_BLOCK, is_identifier

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
