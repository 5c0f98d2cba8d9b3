"""Read what a database holds: the original's tables, ours, or a foreign system's."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import Connection, sql

from ticketsvc.database.schemas import SCHEMAS
from ticketsvc.errors import UsageError
from ticketsvc.lab.ledger.records import EventLedger, Issue


class LedgerUnreadable(UsageError):
    """The database could not be read as a ticket ledger: nothing can be said of it."""


def present_schemas(connection: Connection) -> list[str]:
    """Return those of our schemas that the database has."""
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s) ORDER BY nspname DESC",
        [list(SCHEMAS)],
    ).fetchall()
    return [row[0] for row in rows]


def read_ledger(connection: Connection, schema: str, event: str | None = None) -> list[EventLedger]:
    """Read every event of *schema*, or only *event*, in one snapshot.

    Needs `ticket_pools` and `issued_tickets` as the original has them; `ticket_allocations`
    and `next_ticket_number` are read where they exist. Raise `LedgerUnreadable` when the
    tables are not there or not of that shape.
    """
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # Rows that a policy hides would make a verdict of half the truth: fail instead.
            connection.execute("SET LOCAL row_security = off")
            return _read(connection, schema, event)
    except psycopg.errors.InsufficientPrivilege as problem:
        raise LedgerUnreadable(f"schema {schema}: {problem.diag.message_primary}") from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as problem:
        raise LedgerUnreadable(
            f"schema {schema} is not a ticket ledger: {problem.diag.message_primary}; expected "
            f"ticket_pools(event_id, total, available) and "
            f"issued_tickets(event_id, user_id, ticket_number)"
        ) from None
    except psycopg.Error as problem:
        reason = problem.diag.message_primary or str(problem)
        raise LedgerUnreadable(f"schema {schema} cannot be read: {reason}") from None


def ledger_of(event: str, rows: Sequence[tuple[Any, ...]]) -> EventLedger:
    """Make a ledger of what `sql/statements/exploring.sql` gives of an *event*: few, at once."""
    held = [Issue(holder, first, last) for kind, holder, first, last, _ in rows if kind]
    for kind, _, total, available, following in rows[:1]:
        if not kind:
            return EventLedger(event, total, available, following, held)
    return EventLedger(event, None, None, None, held)


def _read(connection: Connection, schema: str, event: str | None) -> list[EventLedger]:
    columns = {
        (table, column)
        for table, column in connection.execute(
            # Not information_schema: it hides what this role may not read.
            "SELECT relname, attname FROM pg_attribute "
            "JOIN pg_class ON pg_class.oid = attrelid "
            "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s",
            [schema],
        ).fetchall()
    }
    has_next = ("ticket_pools", "next_ticket_number") in columns
    has_ranges = ("ticket_allocations", "start_ticket") in columns
    only = sql.SQL("WHERE event_id = {}").format(event) if event else sql.SQL("")

    def rows(statement: LiteralString, table: str) -> list[tuple[Any, ...]]:
        query = sql.SQL(statement).format(table=sql.Identifier(schema, table), only=only)
        return connection.execute(query).fetchall()

    issues: dict[str, list[Issue]] = defaultdict(list)
    for owner, user, number in rows(
        "SELECT event_id, user_id, ticket_number FROM {table} {only}", "issued_tickets"
    ):
        issues[owner].append(Issue(user, number, number))
    if has_ranges:
        for owner, user, first, last in rows(
            "SELECT event_id, user_id, start_ticket, end_ticket FROM {table} {only}",
            "ticket_allocations",
        ):
            issues[owner].append(Issue(user, first, last))
    pools = (
        "SELECT event_id, total, available, next_ticket_number FROM {table} {only} ORDER BY 1"
        if has_next
        else "SELECT event_id, total, available, NULL FROM {table} {only} ORDER BY 1"
    )
    ledgers = [
        EventLedger(name, total, available, following, issues.pop(name, []))
        for name, total, available, following in rows(pools, "ticket_pools")
    ]
    pooled = len(ledgers)
    # Tickets of an event that no pool knows.
    ledgers += [EventLedger(name, None, None, None, orphans) for name, orphans in issues.items()]
    _require_shape(schema, ledgers, pooled)
    return [*ledgers[:pooled], *sorted(ledgers[pooled:], key=lambda ledger: ledger.event)]


def _require_shape(schema: str, ledgers: Sequence[EventLedger], pooled: int) -> None:
    """Refuse what cannot be judged, such as a ticket without a number, instead of guessing."""
    for ledger in ledgers:
        if not isinstance(ledger.event, str):
            raise LedgerUnreadable(f"schema {schema}: event_id {ledger.event!r} is not text")
        for issue in ledger.issues:
            if not (isinstance(issue.first, int) and isinstance(issue.last, int)):
                raise LedgerUnreadable(
                    f"schema {schema}: a ticket of event {ledger.event!r} has the number "
                    f"{issue.first!r}, which is not an integer"
                )
    for ledger in ledgers[:pooled]:
        if not (isinstance(ledger.total, int) and isinstance(ledger.available, int)):
            raise LedgerUnreadable(
                f"schema {schema}: the pool of event {ledger.event!r} has total {ledger.total!r} "
                f"and available {ledger.available!r}, which are not integers"
            )
        if not isinstance(ledger.next_ticket_number, int | None):
            raise LedgerUnreadable(
                f"schema {schema}: the pool of event {ledger.event!r} has the next_ticket_number "
                f"{ledger.next_ticket_number!r}, which is not an integer"
            )
