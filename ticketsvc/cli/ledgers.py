"""`seed` and `audit`: fill a ledger, and check one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ticketsvc.cli.databases import connected
from ticketsvc.cli.root import (
    CLEAN,
    COULD_NOT_TELL,
    FILE,
    VIOLATION,
    as_json_option,
    chosen_schema,
    ticketsvc,
)
from ticketsvc.console import complain, print_table, printable
from ticketsvc.errors import NoDatabase, TicketsvcError, UsageError


@ticketsvc.command()
@click.option("--event", help="Reset only this event.")
@click.option("--total", type=int, help="Its total, all of it available.")
@click.option("--schema", help="original or fixed; both if not given.")
@click.option("--recreate", is_flag=True, help="Drop and create the schemas first.")
@as_json_option
def seed(
    event: str | None, total: int | None, schema: str | None, recreate: bool, as_json: bool
) -> None:
    """Fill the database with the six events, or reset one event."""
    from ticketsvc.database.roles import SELLER, ensure_seller
    from ticketsvc.database.schemas import SCHEMAS, reset_event, seed_six_events

    if (event is None) != (total is None):
        raise UsageError("--event and --total go together: which event, and how many tickets")
    chosen = SCHEMAS if schema is None else (chosen_schema(schema),)
    with connected(recreate=recreate) as connection:
        # Again and again: schemas come from dumps, too, and dumps know no roles.
        if not ensure_seller(connection):
            complain(f"this role may not make the role {SELLER}, which services should be in")
        for name in chosen:
            if event is not None and total is not None:
                reset_event(connection, name, event, total)
            else:
                seed_six_events(connection, name)
        verdicts = _audit(connection, list(chosen), event)
    _print_verdicts(verdicts, as_json)


@ticketsvc.command()
@click.option("--database-url", help="Another database than the suite's.")
@click.option("--schema", help="Any schema with the original's tables; ours if not given.")
@click.option("--event", help="Only this event.")
@click.option("--history", type=FILE, help="A stress run's history: was all that was told kept?")
@as_json_option
def audit(
    database_url: str | None,
    schema: str | None,
    event: str | None,
    history: Path | None,
    as_json: bool,
) -> None:
    """Check a ledger. Exit 0: clean, 1: violations, 3: could not tell."""
    from ticketsvc.lab.history import read_history
    from ticketsvc.lab.ledger import LedgerUnreadable, present_schemas

    attempts = read_history(history) if history else []
    try:
        with connected(database_url, prepare=False) as connection:
            schemas = [schema] if schema else present_schemas(connection)
            if not schemas:
                raise LedgerUnreadable(
                    "the database has neither schema original nor fixed: "
                    "run `ticketsvc seed`, or name another with --schema"
                )
            verdicts = _audit(connection, schemas, event, attempts)
    except (TicketsvcError, OSError, UnicodeError, MemoryError) as problem:
        if isinstance(problem, UsageError) and not isinstance(
            problem, NoDatabase | LedgerUnreadable
        ):
            raise
        reason = str(problem) or type(problem).__name__
        if as_json:
            code = getattr(problem, "code", "could_not_tell")
            print(json.dumps({"error": reason, "code": code}))
        complain(f"could not tell: {reason}")
        raise click.exceptions.Exit(COULD_NOT_TELL) from None
    if event and not verdicts:
        complain(f"could not tell: no event {event!r} in schema {' or '.join(schemas)}")
        raise click.exceptions.Exit(COULD_NOT_TELL)
    _print_verdicts(verdicts, as_json)
    statuses = {row["status"] for row in verdicts}
    raise click.exceptions.Exit(
        VIOLATION if "violated" in statuses else COULD_NOT_TELL if "unknown" in statuses else CLEAN
    )


def _audit(
    connection: Any, schemas: list[str], event: str | None, history: Any = ()
) -> list[dict[str, Any]]:
    from ticketsvc.lab.checks import check_schemas
    from ticketsvc.lab.ledger import read_ledger

    ledgers = {schema: read_ledger(connection, schema, event) for schema in schemas}
    told = [attempt for attempt in history if event in (None, attempt.event)]
    return [
        {"schema": schema, **verdict.as_dict()} for schema, verdict in check_schemas(ledgers, told)
    ]


def _print_verdicts(verdicts: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print a table of verdicts and a line per violation, or all of it as JSON."""
    if as_json:
        print(json.dumps(verdicts))
        return
    names = ["schema", "event", "total", "available", "issued", "unique", "duplicates"]
    print_table(
        [*names, "verdict"],
        [
            [*(row[name] for name in names), "VIOLATION" if row["violations"] else row["status"]]
            for row in verdicts
        ],
    )
    for row in verdicts:
        where = f"{row['schema']} {printable(row['event'])}"
        for violation in row["violations"]:
            print(f"{where}: {violation['kind']}: {violation['message']}")
            print(f"    {printable(_evidence(violation))}")
        for doubt in row["doubts"]:
            complain(f"could not tell: {where}: {printable(doubt)}")


def _evidence(violation: dict[str, Any]) -> str:
    """Say which purchases show a violation, its cause and why that."""
    from ticketsvc.lab.checks import listed

    shown = f"shown by {listed(violation['purchases'])}; " if violation["purchases"] else ""
    why = f" ({violation['reason']})" if violation["reason"] else ""
    return f"{shown}cause: {violation['cause'] or 'unexplained'}{why}"
