"""`faults`: break something under load, and check whether anything is lost."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ticketsvc.cli.console import announce, complain, print_facts, print_table, progress
from ticketsvc.cli.exit_codes import CLEAN, VIOLATION
from ticketsvc.cli.root import (
    as_json_option,
    chosen_mechanism,
    count_option,
    durable_option,
    run_async,
    ticketsvc,
)
from ticketsvc.errors import UsageError

_WIDTH = 100
_START_S, _INJECTION_S = 4.0, 1.0
_MEANINGS = {
    "retried": "purchases that took more than one attempt",
    "unknown": "attempts without an answer: each may have been sold",
    "unresolved": "purchases that never got an answer",
    "sold twice": "purchases whose buyer holds more tickets than were asked for",
    "lost": "acknowledged purchases whose buyer does not hold the tickets",
    "restarts": "server processes that ended and were started again",
    "recovery s": "seconds from when the broken part worked again to the first sale, at most",
}


@ticketsvc.command()
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="server_kill, session_kill, database_crash, database_freeze, answer_dropped or failover; "
    "repeatable; default: all.",
)
@count_option("--times", 1, 1000, default=5, help="Injections that must interrupt a purchase.")
@click.option("--keys/--no-keys", default=True, help="Whether buyers send an idempotency key.")
@count_option("--instances", 1, 64, default=2, help="Server processes that sell.")
@click.option(
    "--allocator",
    "allocators",
    multiple=True,
    help="What the instances sell with, in turn; repeatable; default: group_commit.",
)
@durable_option
@click.option(
    "--synchronous/--not-synchronous",
    default=True,
    help="Whether commits wait for the standby that takes over in a failover.",
)
@as_json_option
def faults(
    kinds: tuple[str, ...],
    times: int,
    keys: bool,
    instances: int,
    allocators: tuple[str, ...],
    durable: bool,
    synchronous: bool,
    as_json: bool,
) -> int:
    """Inject faults into a service that sells, then audit it.

    It runs a temporary PostgreSQL server and never uses DATABASE_URL.

    Exit codes: 0 nothing lost, 1 a purchase was lost, sold twice or left open, 2 bad usage.
    """
    from ticketsvc.allocators import DEFAULT_ALLOCATOR
    from ticketsvc.lab.faults.experiment import run_fault_experiments
    from ticketsvc.lab.faults.failover import KINDS
    from ticketsvc.lab.faults.records import SHOWN, FaultExperiment, NotRecovered

    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: must be one of {', '.join(KINDS)}")
    for name in allocators:
        if not chosen_mechanism(name).claims_keys:
            raise UsageError(f"--allocator {name}: must be a safe one, which takes keys")
    experiments = [
        FaultExperiment(
            kind,
            times,
            keys=keys,
            durable=durable,
            synchronous=synchronous,
            processes=instances,
            allocators=allocators or (DEFAULT_ALLOCATOR,),
        )
        for kind in kinds or KINDS
    ]
    injections = times * len(experiments)
    announce(f"{injections} injections", _START_S + _INJECTION_S * injections)
    with progress("injections", injections) as advance:
        try:
            results = run_async(run_fault_experiments(experiments, on_injection=advance))
        except NotRecovered as problem:
            complain(str(problem))
            return VIOLATION
    rows = [result.row() for result in results]
    if as_json:
        print(json.dumps(rows))
    else:
        _print(rows, SHOWN)
        print_facts("what the rows mean", _MEANINGS)
        print(finding(rows))
    return CLEAN if all(result.nothing_lost for result in results) else VIOLATION


def finding(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say which faults lost, doubled or left open a purchase."""
    from ticketsvc.lab.faults.records import losses

    found = [(row["fault"].replace("_", " "), losses(row)) for row in rows]
    bad = [f"{fault} ({', '.join(lost)})" for fault, lost in found if lost]
    if bad:
        others = len(rows) - len(bad)
        rest = f"; {others} of {len(rows)} faults lost nothing" if others else ""
        return f"Not every purchase was sold once and acknowledged: {', '.join(bad)}{rest}."
    purchases, retried = (sum(row[name] for row in rows) for name in ("purchases", "retried"))
    return (
        f"Nothing was lost or sold twice: each of {purchases:,} purchases was sold once and "
        f"acknowledged, though the faults made {retried:,} of them take more than one attempt."
    )


def _print(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> None:
    """Print a column for each fault, which fits a terminal, where one for each name does not."""
    first, *others = names
    titles = [first, *(str(row[first]).replace("_", " ") for row in rows)]
    lines = [[name.replace("_", " "), *(_cell(row[name]) for row in rows)] for name in others]
    print_table(titles, lines, _WIDTH)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else value
