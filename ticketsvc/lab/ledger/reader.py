"""Read what a database holds: the original's tables, ours, or a foreign system's.

One statement reads pools, ticket rows and ranges, so that all of them are of one moment.
`read_ledger` runs it and checks what comes back; `ledger_statement` and `ledger_from` are for
a caller that runs it on a connection of its own, as the explorer does after every schedule.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import psycopg
from psycopg import Connection

from ticketsvc.database.schemas import SCHEMAS
from ticketsvc.database.statements import Statement, load
from ticketsvc.errors import UsageError
from ticketsvc.lab.ledger.records import EventLedger, Issue

_TEXT, _NUMBER = "S", "N"  # PostgreSQL's categories of types
_Kinds = Mapping[str, Mapping[str, str | None]]
_REQUIRED: _Kinds = {
    "ticket_pools": {"event_id": _TEXT},
    "issued_tickets": {"event_id": _TEXT, "user_id": None, "ticket_number": _NUMBER},
}
_OPTIONAL: _Kinds = {
    "ticket_pools": {"total": _NUMBER, "available": _NUMBER, "next_ticket_number": _NUMBER},
}
_RANGES: _Kinds = {
    "ticket_allocations": {
        "event_id": _TEXT,
        "user_id": None,
        "start_ticket": _NUMBER,
        "end_ticket": _NUMBER,
    }
}
_EXPECTED = (
    "expected ticket_pools(event_id, total, available) and "
    "issued_tickets(event_id, user_id, ticket_number)"
)
_Columns = Mapping[str, Mapping[str, str]]


class LedgerUnreadable(UsageError, code="could_not_tell"):
    """The database could not be read as a ticket ledger: nothing can be said about it."""


def present_schemas(connection: Connection) -> list[str]:
    """Return those of our schemas that the database has."""
    query = load("ledger")["present_schemas"].query
    return [row[0] for row in connection.execute(query, {"schemas": list(SCHEMAS)}).fetchall()]


def read_ledger(
    connection: Connection, schema: str, *events: str, joined: bool = False
) -> list[EventLedger]:
    """Read *events* of *schema*, or all that it has when none is named, as of one moment.

    Needs `ticket_pools` and `issued_tickets` as the original has them; a pool may lack its
    `total` or its `available`, and `ticket_allocations` is read where it exists. *joined*:
    tickets that follow each other are one record without a holder, which takes less time and
    memory. Raise `LedgerUnreadable` when the tables are missing or of another shape.
    """
    chosen = {"events": list(events) or None}
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # Rows that a policy hides would make a verdict of half the truth: fail instead.
            connection.execute("SET LOCAL row_security = off")
            columns = _columns(connection, schema)
            statement = ledger_statement(schema, ranges=_has_ranges(columns), joined=joined)
            rows = connection.execute(statement.query, chosen).fetchall()
    except psycopg.Error as problem:
        if isinstance(problem, psycopg.DataError):
            blocks = load("ledger", schema.replace("%", "%%"))
            found = connection.execute(blocks["pool_number_not_integer"].query, chosen)
            for event, column, number in found.fetchall():
                raise _not_an_integer(schema, "the pool", event, column, number) from None
        reason = problem.diag.message_primary or str(problem)
        raise LedgerUnreadable(f"schema {schema} cannot be read: {reason}") from None
    return _ledgers(_judgeable(schema, rows, columns["ticket_pools"]))


def ledger_statement(schema: str, *, ranges: bool | None = None, joined: bool = False) -> Statement:
    """Return the statement that reads all of a ledger; its parameter *events* is a list or None.

    *ranges*: whether the schema has `ticket_allocations`; None: *schema* is one of ours.
    """
    if ranges is None:
        ranges = schema == "fixed"
    parts = ["pools", "joined_tickets" if joined else "tickets"]
    if ranges:
        parts.append("joined_ranges" if joined else "ranges")
    blocks = load("ledger", schema.replace("%", "%%"))
    union = b"\nUNION ALL\n".join(blocks[part].query for part in parts)
    return Statement("ledger", blocks["whole"].query.replace(b"{parts}", union))


def ledger_from(event: str, rows: Sequence[tuple[Any, ...]]) -> EventLedger:
    """Return the ledger of *event* from the rows of `ledger_statement`; without rows, an empty one.

    For our own schemas: the rows are not checked.
    """
    found = _ledgers(rows)
    return found[0] if found else EventLedger(event, None, None)


def _ledgers(rows: Iterable[tuple[Any, ...]]) -> list[EventLedger]:
    """Return a ledger for each pool, by event, then those of events that have no pool."""
    pools = []
    issues: dict[str, list[Issue]] = defaultdict(list)
    for event, part, holder, first, last, following in rows:
        if part:
            issues[event].append(Issue(holder, first, last))
        else:
            pools.append((event, first, last, following))
    ledgers = [EventLedger(*pool, issues.pop(pool[0], [])) for pool in sorted(pools)]
    return ledgers + [
        EventLedger(event, None, None, None, issues[event]) for event in sorted(issues)
    ]


def _columns(connection: Connection, schema: str) -> _Columns:
    """Return each table's columns with their kind of type, or raise what is wrong with them."""
    tables: dict[str, dict[str, str]] = defaultdict(dict)
    query = load("ledger")["columns"].query
    for table, column, kind in connection.execute(query, {"schema": schema}).fetchall():
        tables[table][column] = kind
    needed = {**_REQUIRED, **(_RANGES if _has_ranges(tables) else {})}
    missing = [
        f"{table}.{column}"
        for table, columns in needed.items()
        for column in columns
        if column not in tables[table]
    ]
    if not {"total", "available"} & set(tables["ticket_pools"]):
        missing.append("ticket_pools.total")
    if missing:
        raise LedgerUnreadable(
            f"schema {schema} is not a ticket ledger: it has no {', '.join(missing)}; {_EXPECTED}"
        )
    for table, columns in (*needed.items(), *_OPTIONAL.items()):
        for column, kind in columns.items():
            if kind is not None and tables[table].get(column, kind) != kind:
                wanted = "text" if kind == _TEXT else "a number"
                raise LedgerUnreadable(f"schema {schema}: {table}.{column} is not {wanted}")
    return tables


def _has_ranges(columns: _Columns) -> bool:
    return not {"start_ticket", "end_ticket"}.isdisjoint(columns.get("ticket_allocations", ()))


def _judgeable(
    schema: str, rows: Iterable[tuple[Any, ...]], pool: Collection[str]
) -> Iterator[tuple[Any, ...]]:
    """Return *rows* with every number as an int, of whatever type it is stored as.

    Raise `LedgerUnreadable` for what cannot be judged, such as a ticket without a number.
    """
    names = ("total", "available", "next_ticket_number")
    present = [place for place, name in enumerate(names) if name in pool]
    pools = set()
    for event, part, holder, *numbers in rows:
        if not isinstance(event, str):
            raise LedgerUnreadable(f"schema {schema}: a row has no event_id")
        if not part:
            if event in pools:
                raise LedgerUnreadable(
                    f"schema {schema}: event {event!r} has more than one row in ticket_pools, so "
                    "its stock is not known"
                )
            pools.add(event)
        for place in (0, 1) if part else present:
            number = numbers[place]
            if isinstance(number, int):
                continue
            if number is None or not isfinite(number) or number != int(number):
                what = "a ticket" if part else "the pool"
                column = "number" if part else names[place]
                raise _not_an_integer(schema, what, event, column, number)
            numbers[place] = int(number)
        yield event, part, holder, *numbers


def _not_an_integer(
    schema: str, what: str, event: str, column: str, number: object
) -> LedgerUnreadable:
    value = "NULL" if number is None else number
    return LedgerUnreadable(
        f"schema {schema}: {what} of event {event!r} has the {column} {value}, which is not an "
        "integer"
    )
