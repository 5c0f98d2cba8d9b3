"""Judge the schemas of a database, and print what was found: for `seed` and `audit`."""

import json
from collections.abc import Sequence
from typing import Any

from ticketsvc.cli.console import complain, print_table, printable


def audit_schemas(
    connection: Any, schemas: list[str], event: str | None, history: Any = ()
) -> list[dict[str, Any]]:
    """Judge every event of *schemas*, or only *event*; return one row per verdict."""
    from ticketsvc.lab.checker.check import check_schemas
    from ticketsvc.lab.ledger.reader import read_ledger

    only = [event] if event else []
    ledgers = {schema: read_ledger(connection, schema, *only) for schema in schemas}
    told = [attempt for attempt in history if event in (None, attempt.event)]
    return [
        {"schema": schema, **verdict.as_dict()} for schema, verdict in check_schemas(ledgers, told)
    ]


def print_verdicts(verdicts: Sequence[dict[str, Any]], as_json: bool) -> None:
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
        for doubt in row["inconclusive"]:
            complain(f"could not tell: {where}: {printable(doubt)}")


def _evidence(violation: dict[str, Any]) -> str:
    """Say which purchases show a violation, its cause and why that."""
    from ticketsvc.lab.checker.check import listed

    shown = f"shown by {listed(violation['purchases'])}; " if violation["purchases"] else ""
    why = f" ({violation['reason']})" if violation["reason"] else ""
    return f"{shown}cause: {violation['cause'] or 'unexplained'}{why}"
