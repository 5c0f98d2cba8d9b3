"""`overload`: offer many times the load that can be sold."""

import json
from collections.abc import Mapping
from typing import Any

import click

from ticketsvc.cli.console import announce, complain, counter, print_facts
from ticketsvc.cli.exit_codes import CLEAN, COULD_NOT_TELL, VIOLATION
from ticketsvc.cli.root import Finite, as_json_option, count_option, run_async, ticketsvc

_LEAST_OFFERED = 0.8  # of the load that was to be offered
_START_S = 4.0
_MEANINGS = {
    "peak": "what it sold a second before the overload, asked for as much as it can sell",
    "offered": "purchases that were asked for during the overload",
    "goodput": "what it sold a second while the overload lasted",
    "max waiting": "purchases in flight at most; any other is refused at once",
    "p50, p99": "half of the answers, and 99 % of them, took at most this long",
}


@ticketsvc.command()
@click.option(
    "--times",
    type=Finite(1, 100),
    default=10.0,
    help="Offered load, as a multiple of the sustained rate.",
)
@click.option("--seconds", type=Finite(1, 600), default=30.0, help="How long the load lasts.")
@count_option(
    "--flush-ms", 0, 100, default=10, help="How much longer each flush of the database takes."
)
@as_json_option
def overload(times: float, seconds: float, flush_ms: int, as_json: bool) -> int:
    """Offer a service many times the load it can sustain, then audit it.

    It runs a temporary PostgreSQL server with slow flushes, so that the database is the limit.

    Exit codes: 0 clean, 1 the audit found a violation, 2 bad usage, 3 could not generate that much
    load.
    """
    from ticketsvc.lab.faults.overload import OverloadSpec, run_overload

    spec = OverloadSpec(times, seconds, flush_ms=flush_ms)
    lasts_s = spec.peak_s + seconds
    announce(f"{lasts_s:g} s of purchases, and the start of two servers", lasts_s + _START_S)
    with counter("answers") as add:
        row = run_async(run_overload(spec, on_answer=lambda: add(1)))
    if as_json:
        print(json.dumps(row))
    else:
        rounded = {n: round(v, 2) if isinstance(v, float) else v for n, v in row.items()}
        print_facts(f"aim: {times:g} times the sustained rate, for {seconds:g} s", rounded)
        print_facts("what the names mean", _MEANINGS)
        print(finding(row))
    if row["audit"] != "clean":
        return VIOLATION
    if row["of_peak_offered"] < _LEAST_OFFERED * times:
        complain(
            f"could not generate that much load: only {row['of_peak_offered']:.1f} times the "
            "sustained rate. The buyers share this machine with the service: make flushes slower "
            "with --flush-ms"
        )
        return COULD_NOT_TELL
    return CLEAN


def finding(row: Mapping[str, Any]) -> str:
    """Say what the service can sell, and what it did when more was asked for."""
    refused = "none"
    if row["refused"]:
        refused = (
            f"{row['refused']:,} with status {row['refused_with']}, half of them within "
            f"{row['refused_p50_ms']:.1f} ms"
        )
    audit = "" if row["audit"] == "clean" else f" The audit of what it sold: {row['audit']}."
    return (
        f"It can sell {row['peak_per_s']:,.0f} purchases a second. Asked for "
        f"{row['of_peak_offered']:.1f} times as many, it sold {row['goodput_per_s']:,.0f} a second "
        f"({row['of_peak']:.0%}) and refused {refused}.{audit}"
    )
