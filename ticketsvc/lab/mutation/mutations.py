"""Take each guard away, one at a time, and see who misses it.

Three can catch a mutant: the explorer, by a schedule that breaks the invariant, turns a buyer
away with tickets left, or would leave a torn ledger if the process died half-way; the database,
by refusing what the mutant writes; the checker, by what is in the ledger afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import psycopg

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.pool import make_pool
from ticketsvc.database.schemas import SchemaName, reset_event
from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.statements import load
from ticketsvc.errors import Refusal
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.explore.cases import EVENT, Case
from ticketsvc.lab.explore.exploration import Exploration, explore
from ticketsvc.lab.ledger.reader import ledger_from, ledger_statement, read_ledger
from ticketsvc.lab.mutation.guards import SCHEMA_GUARDS, AllocatorMutant
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import sell
from ticketsvc.settings import Settings

NOBODY = "nobody"
_INTEGRITY = "23"  # the class of SQLSTATEs that constraints raise


@dataclass(frozen=True)
class Caught:
    """One mutant: the guard, of what it was taken, and who caught it, and how."""

    guard: str
    taken_from: str
    by: str
    how: str


async def try_allocator_mutants(url: str, chosen: Sequence[AllocatorMutant]) -> list[Caught]:
    """Explore each of *chosen* with two buyers, and say what gave it away."""
    caught = []
    for one in chosen:
        case = Case(
            one.base,
            one.schema,
            total=one.total,
            hold_commits=one.hold_commits,
            together=one.together,
        )
        found = await explore(
            url, case, allocator=one.mutant, changes=one.changes, tell=True, keep=True
        )
        by, how = _judge(found)
        caught.append(Caught(one.guard, f"{one.base} on {one.schema}", by, how))
    return caught


def _judge(found: Exploration) -> tuple[str, str]:
    of = f"of {found.schedules:,} schedules"
    if found.violating:
        kinds = {v.kind for run in found.runs for v in run.verdict.violations}
        named = ", ".join(sorted(kind.replace("_", " ") for kind in kinds))
        return "explorer", f"{found.violating:,} {of}: {named}"
    refusals = {state for state in found.sqlstates if state.startswith(_INTEGRITY)}
    if refusals:
        named = ", ".join(sorted(refusals))
        return "database", f"refuses with {named}; no violation in {found.schedules:,} schedules"
    if found.turned_away:
        return "explorer", f"{found.turned_away:,} {of}: a buyer turned away with tickets left"
    if found.torn:
        return "explorer", f"{found.torn:,} {of}: a torn ledger if the process dies half-way"
    return NOBODY, f"{found.schedules:,} schedules, nothing seen"


async def try_sign_check(url: str) -> list[Caught]:
    """Sell 8, -8, 8 and 8 of 16 one after the other, past the validation that refuses -8."""
    return [
        Caught("the sign check", f"{name} on {schema}", *await _sell_minus(url, name, schema))
        for name in ALLOCATORS
        for schema in ALLOCATORS[name].mechanism.schemas[:1]
    ]


async def _sell_minus(url: str, name: str, schema: SchemaName) -> tuple[str, str]:
    refusals = []
    with scratch_database(url, "explore") as scratch:
        with psycopg.connect(scratch, autocommit=True) as connection:
            reset_event(connection, schema, EVENT, 16)
        async with make_pool(scratch, Settings(pool_size=1)) as pool:
            seller = ALLOCATORS[name](pool, schema)
            for quantity in (8, -8, 8, 8):
                purchase = Purchase(user_id="u", event_id=EVENT, quantity=quantity)
                try:
                    await sell(seller, purchase)
                except Refusal as refusal:
                    refusals.append(str(refusal))
        with psycopg.connect(scratch, autocommit=True) as connection:
            [ledger] = read_ledger(connection, schema, EVENT)
    kinds = sorted(violation.kind for violation in check_event(ledger).violations)
    if kinds:
        return "checker", ", ".join(kind.replace("_", " ") for kind in kinds)
    if refusals:
        return "database", refusals[0]
    return NOBODY, "sold, and the ledger reads as clean"


def try_schema_mutants(url: str) -> list[Caught]:
    """Drop each guard of the fixed schema, then write by hand what it alone had refused.

    One row per guard and statement: refused all the same by another guard, or accepted, and
    then the checker's word. Everything is rolled back.
    """
    caught = []
    with (
        scratch_database(url, "explore") as scratch,
        psycopg.connect(scratch, autocommit=True) as connection,
    ):
        reset_event(connection, "fixed", EVENT, 32, 8)
        for name, statement in load("forbidden", "fixed").items():
            guard, _ = _write(connection, statement.query, ())
            if guard is None:
                continue
            other, kinds = _write(connection, statement.query, SCHEMA_GUARDS[guard])
            if other is not None:
                by, how = "database", f"{other} refuses it all the same"
            elif kinds:
                by, how = "checker", ", ".join(kind.replace("_", " ") for kind in kinds)
            else:
                by, how = NOBODY, "accepted, and the ledger reads as clean"
            caught.append(Caught(guard, f"schema, against: {name.replace('_', ' ')}", by, how))
    return caught


def _write(
    connection: psycopg.Connection, query: bytes, changes: Sequence[str]
) -> tuple[str | None, list[str]]:
    """Write after *changes*; return the constraint that refused, or the violations."""
    try:
        with connection.transaction(force_rollback=True):
            for change in changes:
                connection.execute(change.encode())
            connection.execute(query, {"event": EVENT})
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            ledger = ledger_statement("fixed").query
            rows = {
                event: connection.execute(ledger, {"events": [event]}).fetchall()
                for event in (EVENT, f"{EVENT}?")  # the second has no pool
            }
    except psycopg.IntegrityError as refusal:
        return refusal.diag.constraint_name or refusal.sqlstate or "refused", []
    verdicts = [check_event(ledger_from(event, found)) for event, found in rows.items()]
    return None, sorted({v.kind for verdict in verdicts for v in verdict.violations})


def table(caught: Sequence[Caught]) -> pd.DataFrame:
    """Return one row per mutant: guard, taken from, caught by, how."""
    return pd.DataFrame(
        [(one.guard, one.taken_from, one.by, one.how) for one in caught],
        columns=["guard", "taken from", "caught by", "how"],
    )
