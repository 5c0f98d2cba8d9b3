"""`faults`: break something under load, and see whether anything is lost."""

import json

import click

from ticketsvc.cli.console import print_table, progress
from ticketsvc.cli.root import (
    CLEAN,
    VIOLATION,
    as_json_option,
    chosen_mechanism,
    run_async,
    ticketsvc,
)
from ticketsvc.errors import UsageError

_SHOWN = {
    "fault": "fault",
    "strikes": "strikes",
    "keys": "keys",
    "durable": "durable",
    "acknowledged": "sold",
    "unknown": "no answer",
    "refused": "refused",
    "unresolved": "unresolved",
    "double": "sold twice",
    "lost": "lost",
    "oversold": "oversold",
    "duplicates": "duplicates",
    "audit": "audit",
    "recovery_s": "longest recovery s",
}


@ticketsvc.command()
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="server_kill, session_kill, database_crash, database_freeze or answer_cut; repeat. "
    "Every one if not given.",
)
@click.option("--times", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--keys/--no-keys", default=True, help="Whether buyers ask again under a key.")
@click.option("--durable/--not-durable", default=True, help="Not: no commit waits for its flush.")
@click.option("--allocator", help="How tickets are allocated.")
@click.option("--buyers", type=click.IntRange(1, 500), default=16, show_default=True)
@click.option("--processes", type=click.IntRange(1, 16), default=2, show_default=True)
@as_json_option
def faults(
    kinds: tuple[str, ...],
    times: int,
    keys: bool,
    durable: bool,
    allocator: str | None,
    buyers: int,
    processes: int,
    as_json: bool,
) -> int:
    """Kill, cut, crash and freeze what sells, and audit. Exit 1: something was lost or sold twice.

    Works on servers of its own, never on DATABASE_URL's: that one is not to be crashed.
    """
    from ticketsvc.allocators import DEFAULT_ALLOCATOR
    from ticketsvc.lab.faults.experiment import Trial, undergo
    from ticketsvc.lab.faults.injection import FAULTS

    unknown = [kind for kind in kinds if kind not in FAULTS]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: one of {', '.join(FAULTS)}")
    mechanism = chosen_mechanism(allocator or DEFAULT_ALLOCATOR)
    if not mechanism.claims_keys:
        raise UsageError(f"--allocator {mechanism.name}: only of those that claim keys")
    ordeals = []
    chosen = kinds or tuple(FAULTS)
    with progress("strikes", times * len(chosen)) as advance:
        for kind in chosen:
            trial = Trial(
                kind,
                times,
                keys=keys,
                durable=durable,
                allocator=mechanism.name,
                buyers=buyers,
                processes=processes,
            )
            ordeals.append(run_async(undergo(trial, on_strike=advance)))
    rows = [ordeal.row() for ordeal in ordeals]
    if as_json:
        print(json.dumps(rows))
    else:
        print_table(list(_SHOWN.values()), [[_cell(row[name]) for name in _SHOWN] for row in rows])
    return CLEAN if all(ordeal.nothing_lost for ordeal in ordeals) else VIOLATION


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else value
