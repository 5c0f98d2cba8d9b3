"""`audit`: check what a database holds, by our rules or by those of a scenario."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketsvc.cli.console import complain
from ticketsvc.cli.db import connected
from ticketsvc.cli.exit_codes import CLEAN, COULD_NOT_TELL, VIOLATION
from ticketsvc.cli.root import (
    FILE,
    as_json_option,
    could_not_tell,
    refuse_options,
    scenario_argument,
    ticketsvc,
)
from ticketsvc.cli.verdicts import audit_schemas, print_verdicts
from ticketsvc.errors import NoDatabase
from ticketsvc.settings import DatabaseSettings

if TYPE_CHECKING:
    from ticketsvc.lab.workload.history import Attempt


@ticketsvc.command()
@scenario_argument
@click.option("--database-url", help="Another database than the suite's.")
@click.option(
    "--schema",
    help="A schema with the tables ticket_pools and issued_tickets. Default: original and fixed.",
)
@click.option("--event", help="Only this event.")
@click.option(
    "--history",
    type=FILE,
    help="The history of a `stress` run. Only its events are checked, and whether each buyer has "
    "the tickets that were answered.",
)
@click.option(
    "--our-rules",
    is_flag=True,
    help="Apply the rules of our schemas to another one too: numbers from 1 to the total without "
    "gaps, sold in multiples of 8.",
)
@as_json_option
def audit(
    scenario: Path | None,
    database_url: str | None,
    schema: str | None,
    event: str | None,
    history: Path | None,
    our_rules: bool,
    as_json: bool,
) -> None:
    """Check what a database holds, and whether buyers have what they were answered.

    With FILE.toml, a scenario, its invariants are checked, in one snapshot that writes nothing.

    \b
    Exit code:
      0  clean
      1  violations
      2  wrong arguments
      3  could not tell: no database, no such event, or nothing to check
    """
    if scenario is not None:
        from ticketsvc.cli.scenarios import audit_file

        refuse_options(
            ("schema", "event", "history", "our_rules"), "does not go with a scenario: leave it out"
        )
        audit_file(scenario, database_url, as_json=as_json)
    from ticketsvc.lab.ledger.reader import LedgerUnreadable, present_schemas
    from ticketsvc.lab.workload.history import read_history

    attempts = read_history(history) if history else []
    try:
        events = _chosen_events(event, attempts if history else None)
        with connected(database_url, prepare=False) as connection:
            schemas = [schema] if schema else present_schemas(connection)
            if not schemas:
                raise LedgerUnreadable(_no_schema(database_url))
            verdicts = audit_schemas(connection, schemas, events, attempts, our_rules=our_rules)
        if not verdicts:
            where = f"schema {' or '.join(schemas)}"
            which = f"none of the events {', '.join(events)}" if events else "no event"
            raise LedgerUnreadable(f"there is {which} in {where}")
    except (NoDatabase, LedgerUnreadable, OSError, UnicodeError, MemoryError) as problem:
        could_not_tell(problem, as_json)
    print_verdicts(verdicts, as_json, with_history=history is not None)
    if history is None and not as_json and any(row["violations"] for row in verdicts):
        complain(
            "for a cause, audit needs to know the answers: --history FILE, as stress writes it"
        )
    statuses = {row["status"] for row in verdicts}
    raise click.exceptions.Exit(
        VIOLATION if "violated" in statuses else COULD_NOT_TELL if "unknown" in statuses else CLEAN
    )


def _chosen_events(event: str | None, history: "list[Attempt] | None") -> list[str]:
    """Return the events to check; none means all. Raise when the history has none of them."""
    from ticketsvc.lab.ledger.reader import LedgerUnreadable

    if history is None:
        return [event] if event else []
    events = sorted({attempt.event for attempt in history})
    if not events:
        raise LedgerUnreadable("the history has no purchase")
    if event is None:
        return events
    if event not in events:
        raise LedgerUnreadable(f"the history has no purchase for event {event!r}")
    return [event]


def _no_schema(database_url: str | None) -> str:
    found = "the database has neither schema original nor fixed: "
    if database_url or DatabaseSettings.load().database_url is not None:
        return found + "name the schema of your tables with --schema"
    return found + "run `python3 run.py seed`"
