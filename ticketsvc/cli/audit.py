"""`audit`: check a ledger."""

import json
from pathlib import Path

import click

from ticketsvc.cli.console import complain
from ticketsvc.cli.db import connected
from ticketsvc.cli.root import (
    CLEAN,
    COULD_NOT_TELL,
    FILE,
    VIOLATION,
    as_json_option,
    ticketsvc,
)
from ticketsvc.cli.verdicts import audit_schemas, print_verdicts
from ticketsvc.errors import NoDatabase, TicketsvcError, UsageError


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
    from ticketsvc.lab.ledger.reader import LedgerUnreadable, present_schemas
    from ticketsvc.lab.workload.history import read_history

    attempts = read_history(history) if history else []
    try:
        with connected(database_url, prepare=False) as connection:
            schemas = [schema] if schema else present_schemas(connection)
            if not schemas:
                raise LedgerUnreadable(
                    "the database has neither schema original nor fixed: "
                    "run `ticketsvc seed`, or name another with --schema"
                )
            verdicts = audit_schemas(connection, schemas, event, attempts)
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
    print_verdicts(verdicts, as_json)
    statuses = {row["status"] for row in verdicts}
    raise click.exceptions.Exit(
        VIOLATION if "violated" in statuses else COULD_NOT_TELL if "unknown" in statuses else CLEAN
    )
