"""Take each guard away, one at a time, and see what catches the mutant.

Three can catch it: the explorer, by a schedule that breaks the invariant, refuses a buyer with
tickets left, or would leave an inconsistent ledger after a crash; the database, by refusing what
the mutant writes; the checker, by what the ledger holds afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import psycopg

from ticketsvc.allocators import ALLOCATORS, Allocator
from ticketsvc.database.pool import Pool
from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.seeding import reset_event
from ticketsvc.database.statements import load
from ticketsvc.errors import Refusal
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.explore.cases import EVENT
from ticketsvc.lab.explore.exploration import Exploration
from ticketsvc.lab.explore.explorer import open_explorer
from ticketsvc.lab.ledger.reader import ledger_from, ledger_statement, read_ledger
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.mutation.guards import AllocatorMutant, removal
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import sell
from ticketsvc.settings import Settings

NOBODY = "nobody"
_INTEGRITY = "23"  # the class of SQLSTATEs that constraints raise


@dataclass(frozen=True)
class Caught:
    """One mutant: the guard, what it was taken from, what caught it, and how."""

    guard: str
    taken_from: str
    by: str
    how: str


async def try_allocator_mutants(url: str, chosen: Sequence[AllocatorMutant]) -> list[Caught]:
    """Explore each of *chosen* with two buyers; return what caught it."""
    caught = []
    async with open_explorer(url) as explorer:
        with counted("mutants", len(chosen)) as count:
            for one in chosen:
                found = await explorer.explore(
                    one.case, allocator=one.mutant, changes=one.changes, snapshots=True
                )
                taken_from = f"{one.case.allocator} on {one.case.schema}"
                caught.append(Caught(one.guard, taken_from, *_judge(found)))
                count()
    return caught


def _judge(found: Exploration) -> tuple[str, str]:
    of = f"of {found.schedules:,} schedules"
    if found.violating:
        named = ", ".join(sorted(kind.replace("_", " ") for kind in found.violations))
        return "explorer", f"{found.violating:,} {of}: {named}"
    refusals = {state for state in found.sqlstates if state.startswith(_INTEGRITY)}
    if refusals:
        named = ", ".join(sorted(refusals))
        return "database", f"refuses with {named}; no violation in {found.schedules:,} schedules"
    if found.refused_with_stock:
        return "explorer", f"{found.refused_with_stock:,} {of}: a buyer refused with tickets left"
    if found.crash_inconsistent:
        return "explorer", f"{found.crash_inconsistent:,} {of}: half a purchase after a crash"
    return NOBODY, f"{found.schedules:,} schedules, nothing found"


async def try_sign_check(url: str) -> list[Caught]:
    """Sell 8, -8, 8 and 8 of 16 one after the other, past the validation that refuses -8."""
    caught = []
    with scratch_database(url, "explore") as scratch:
        async with Pool(scratch, Settings(pool_size=1)) as pool:
            for name, allocator in ALLOCATORS.items():
                schema = allocator.mechanism.schemas[0]
                with psycopg.connect(scratch, autocommit=True) as connection:
                    reset_event(connection, schema, EVENT, 16)
                    refusals = await _sell_minus(allocator(pool, schema))
                    [ledger] = read_ledger(connection, schema, EVENT)
                found = _judge_ledger(ledger, refusals)
                caught.append(Caught("the sign check", f"{name} on {schema}", *found))
    return caught


async def _sell_minus(allocator: Allocator) -> list[str]:
    refusals = []
    for quantity in (8, -8, 8, 8):
        purchase = Purchase(user_id="u", event_id=EVENT, quantity=quantity)
        try:
            await sell(allocator, purchase)
        except Refusal as refusal:
            refusals.append(str(refusal))
    return refusals


def _judge_ledger(ledger: EventLedger, refusals: Sequence[str]) -> tuple[str, str]:
    kinds = sorted(violation.kind for violation in check_event(ledger).violations)
    if kinds:
        return "checker", ", ".join(kind.replace("_", " ") for kind in kinds)
    if refusals:
        return "database", refusals[0]
    return NOBODY, "sold, and the ledger is clean"


def try_schema_mutants(url: str) -> list[Caught]:
    """Drop each guard of the fixed schema, then run the statements that it alone refused.

    One row per guard and statement: another guard refuses the statement, or it is accepted and
    the checker judges the ledger. Everything is rolled back.
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
            other, kinds = _write(connection, statement.query, removal(guard))
            if other is not None:
                by, how = "database", f"{other} refuses it as well"
            elif kinds:
                by, how = "checker", ", ".join(kind.replace("_", " ") for kind in kinds)
            else:
                by, how = NOBODY, "accepted, and the ledger is clean"
            caught.append(Caught(guard, f"schema, against: {name.replace('_', ' ')}", by, how))
    return caught


def _write(
    connection: psycopg.Connection, query: bytes, changes: Sequence[str]
) -> tuple[str | None, list[str]]:
    """Write after *changes*; return the constraint that refuses, or else the violations."""
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


def caught_table(caught: Sequence[Caught]) -> pd.DataFrame:
    """Return one row per mutant: guard, taken from, caught by, how."""
    return pd.DataFrame(
        [(one.guard, one.taken_from, one.by, one.how) for one in caught],
        columns=["guard", "taken from", "caught by", "how"],
    )
