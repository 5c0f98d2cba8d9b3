"""Check the schemas of a database, and print the verdicts: for `seed` and `audit`."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketsvc.cli.console import complain, print_table, printable

if TYPE_CHECKING:
    from ticketsvc.lab.workload.history import Attempt


def audit_schemas(
    connection: Any,
    schemas: Sequence[str],
    events: Sequence[str],
    history: "Sequence[Attempt]" = (),
    *,
    our_rules: bool = False,
) -> list[dict[str, Any]]:
    """Check *events* in each of *schemas*, or all events when none is named; one row per verdict.

    *our_rules*: apply the rules of our own schemas to all of them.
    """
    from ticketsvc.database.schemas import SCHEMAS
    from ticketsvc.lab.checker.check import check_schemas
    from ticketsvc.lab.ledger.reader import read_ledger

    ledgers = {schema: read_ledger(connection, schema, *events) for schema in schemas}
    answered = [attempt for attempt in history if attempt.event in events]
    ruled = schemas if our_rules else SCHEMAS
    return [
        {"schema": schema, **verdict.as_dict()}
        for schema, verdict in check_schemas(ledgers, answered, our_rules=ruled)
    ]


def print_verdicts(
    verdicts: Sequence[dict[str, Any]], as_json: bool, *, with_history: bool = False
) -> None:
    """Print a table of verdicts and a line per violation, or all of it as JSON.

    Without a history, a cause that is not known is one that needs it.
    """
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
            print(f"    {printable(_evidence(violation, with_history))}")
        for reason in row["inconclusive"]:
            complain(f"could not tell: {where}: {printable(reason)}")
        for note in row["not_checked"]:
            complain(f"not checked: {where}: {note}")


def _evidence(violation: dict[str, Any], with_history: bool) -> str:
    """Return which purchases show a violation, its cause, and the reason for that cause."""
    from ticketsvc.lab.checker.verdicts import listed

    shown = f"shown by {listed(violation['purchases'])}; " if violation["purchases"] else ""
    why = f" ({violation['reason']})" if violation["reason"] else ""
    unknown = "unexplained" if with_history else "not known without a history"
    return f"{shown}cause: {violation['cause'] or unknown}{why}"
