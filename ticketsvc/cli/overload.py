"""`overload`: many times what can be sold."""

import json

import click

from ticketsvc.cli.console import complain, counter, print_facts
from ticketsvc.cli.root import (
    CLEAN,
    COULD_NOT_TELL,
    VIOLATION,
    Finite,
    as_json_option,
    chosen_mechanism,
    run_async,
    ticketsvc,
)
from ticketsvc.errors import UsageError

_REALLY_ASKED = 0.8  # of what was to be asked for


@ticketsvc.command()
@click.option("--times", type=Finite(1, 100), default=10.0, show_default=True)
@click.option("--seconds", type=Finite(1, 600), default=30.0, show_default=True)
@click.option("--allocator", default="range", show_default=True, help="How tickets are allocated.")
@click.option(
    "--flush-ms",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    help="How much longer each flush of the database is made to take.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1, 5000),
    default=100,
    show_default=True,
    help="The bound on purchases under way.",
)
@as_json_option
def overload(
    times: float,
    seconds: float,
    allocator: str,
    flush_ms: int,
    max_waiting: int,
    as_json: bool,
) -> int:
    """Ask for many times what is sustained. Exit 1: not clean, 3: so much was not asked.

    On a server of its own, whose flushes are slow, so that the database is the limit.
    """
    from ticketsvc.lab.faults.overload import Load
    from ticketsvc.lab.faults.overload import overload as flood

    mechanism = chosen_mechanism(allocator)
    if not mechanism.claims_keys:
        raise UsageError(f"--allocator {mechanism.name}: only of the safe ones")
    load = Load(
        times, seconds, flush_ms=flush_ms, max_waiting=max_waiting, allocator=mechanism.name
    )
    with counter("answers") as add:
        found = run_async(flood(load, on_answer=lambda: add(1)))
    row = found.row()
    if as_json:
        print(json.dumps(row))
    else:
        rounded = {n: round(v, 2) if isinstance(v, float) else v for n, v in row.items()}
        print_facts(f"{times:g} times what is sustained, for {seconds:g} s", rounded)
    if not found.verdict.clean:
        return VIOLATION
    if row["of_peak_offered"] < _REALLY_ASKED * times:
        complain(
            f"only {row['of_peak_offered']:.1f} times as much was asked for: the buyers share this "
            "machine with the service, and were no faster. Make flushes slower with --flush-ms"
        )
        return COULD_NOT_TELL
    return CLEAN
