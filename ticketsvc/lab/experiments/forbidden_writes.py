"""Try writes that the schema must refuse, and record which constraint refuses each."""

import pandas as pd
import psycopg

from ticketsvc.database.statements import load, source
from ticketsvc.lab.experiments.lab import Lab

ALLOWED = ("the_next_range", "half_a_sale")
"""The statements that are accepted: one must be, and one cannot be refused."""


def try_forbidden_writes(lab: Lab, event: str) -> pd.DataFrame:
    """Try each statement of `sql/statements/forbidden.sql` on the fixed schema.

    *event* is reset to 32 tickets of which 1 to 8 are sold. Each try runs to the end of its
    transaction's checks and is then rolled back. Only an error by a constraint is a refusal.
    Columns: write, what (its describing line), allowed, refused, sqlstate, constraint.
    """
    lab.reset("fixed", event, 32, sold=8)
    rows = []
    for name, statement in load("forbidden", "fixed").items():
        refusal = _try(lab, statement.query, event)
        rows.append(
            {
                "write": name.replace("_", " "),
                "what": source("forbidden")[name].splitlines()[0].removeprefix("-- "),
                "allowed": name in ALLOWED,
                "refused": refusal is not None,
                "sqlstate": refusal.sqlstate if refusal else "",
                "constraint": refusal.diag.constraint_name if refusal else "",
            }
        )
    return pd.DataFrame(rows)


def _try(lab: Lab, query: bytes, event: str) -> psycopg.IntegrityError | None:
    try:
        with lab.connection.transaction(force_rollback=True):
            lab.connection.execute(query, {"event": event})
            lab.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.IntegrityError as refusal:
        return refusal
    return None
