"""`bench`: throughput and cost, side by side."""

import contextlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from ticketsvc.cli.console import announce, complain, print_facts, print_table, progress
from ticketsvc.cli.exit_codes import CLEAN, VIOLATION
from ticketsvc.cli.root import Finite, as_json_option, count_option, durable_option, ticketsvc
from ticketsvc.errors import UsageError
from ticketsvc.settings import DatabaseSettings

_COLUMNS = {  # the heading, the digits of a fraction, and what it means
    "candidate": ("candidate", 0, "an allocator, the no-ops that sell nothing, or a peer"),
    "connections": ("conns", 0, "clients, each with one purchase in flight"),
    "events": ("events", 0, "how many they buy from"),
    "quantity": ("qty", 0, "tickets per purchase"),
    "sold_before": ("sold before", 0, "tickets of each event that were sold before"),
    "goodput_per_s": ("sold/s", 0, "purchases sold per second: the median of the repetitions"),
    "spread": ("least–most", 0, "the slowest and the fastest repetition"),
    "of_noop": ("of noop", 2, "sold/s, as a share of this service without a database"),
    "of_bare": ("of bare", 2, "as a share of the least that aiohttp can do"),
    "of_range": ("of range", 2, "as a share of the allocator range"),
    "p50_ms": ("p50 ms", 1, "half of the answers took at most this long"),
    "p95_ms": ("p95 ms", 1, "95 % of them"),
    "p99_ms": ("p99 ms", 1, "99 % of them"),
    "server_cpu_us": ("CPU µs", 0, "processor time of the service per purchase"),
    "database_cpu_us": ("DB µs", 0, "processor time of PostgreSQL per purchase"),
    "wal_bytes": ("WAL B", 0, "bytes in PostgreSQL's log per purchase"),
    "transactions": ("xacts", 3, "transactions per purchase"),
    "refused": ("refused", 0, "purchases that were not sold"),
    "audit": ("audit", 0, "whether the database holds what the clients were told"),
}
_LOAD = ("connections", "events", "quantity", "sold_before")
_DEFAULTS = {"events": 1, "quantity": 8, "sold_before": 0, "refused": 0}
_START_S, _AUDIT_S = 0.5, 0.2  # about what a service takes to start, and an audit


@ticketsvc.command()
@click.option(
    "--allocator", "allocators", multiple=True, help="Repeatable; default: all safe ones."
)
@click.option(
    "--peer-url",
    "peers",
    multiple=True,
    metavar="[NAME=]URL",
    help="A running service; repeatable.",
)
@click.option("--peer-database-url", help="The peers' database: for new events and the audit.")
@click.option("--peer-schema", default="public", help="Its schema.")
@count_option("--connections", 1, 512, multiple=True, default=[64], help="Repeatable.")
@count_option(
    "--events", 1, 10_000, multiple=True, default=[1], help="Events to buy from; repeatable."
)
@click.option(
    "--quantity", type=int, multiple=True, default=[8], help="Tickets per purchase; repeatable."
)
@click.option(
    "--sold-before",
    type=int,
    multiple=True,
    default=[0],
    help="Tickets sold before the run; repeatable.",
)
@click.option("--seconds", type=Finite(0.2, 600), default=3.0, help="Length of each measurement.")
@count_option(
    "--repetitions", 1, 100, default=3, help="Measurements of each, in turns; the median is shown."
)
@durable_option
@click.option("--keys", is_flag=True, help="Also with an Idempotency-Key in each purchase.")
@count_option("--workers", 1, 64, default=1)
@as_json_option
def bench(
    allocators: tuple[str, ...],
    peers: tuple[str, ...],
    peer_database_url: str | None,
    peer_schema: str,
    connections: tuple[int, ...],
    events: tuple[int, ...],
    quantity: tuple[int, ...],
    sold_before: tuple[int, ...],
    seconds: float,
    repetitions: int,
    durable: bool,
    keys: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Measure throughput and cost side by side, and audit each run.

    It sells in a database of its own, which is dropped at the end. "of noop" compares with this
    service without a database, "of bare" with the least that aiohttp can do.

    Exit codes: 0 all clean, 1 a run with a violation or without a sale, 2 bad usage.
    """
    from ticketsvc.allocators import SAFE
    from ticketsvc.database.locate import check_server
    from ticketsvc.lab.bench.candidates import our_candidates, peer_candidates
    from ticketsvc.lab.bench.plan import plan
    from ticketsvc.lab.bench.suite import open_bench
    from ticketsvc.lab.bench.summary import summarise

    if bool(peers) != bool(peer_database_url):
        raise UsageError("--peer-url and --peer-database-url go together: each run is audited")
    peers_at = (check_server(peer_database_url), peer_schema) if peer_database_url else None
    candidates = [
        *our_candidates(allocators or SAFE, durable=durable, workers=workers, keys=keys),
        *peer_candidates(peers),
    ]
    cases = plan(candidates, connections, events, quantity, sold_before)
    count = len(cases) * repetitions
    takes_s = count * (seconds + _AUDIT_S) + len(candidates) * _START_S
    with _server() as conninfo:
        facts = _facts(conninfo, seconds, repetitions, durable)
        announce(f"{count} measurements of {seconds:g} s", takes_s)
        with (
            open_bench(conninfo, candidates, seconds=seconds, peers_at=peers_at) as opened,
            progress("measurements", count) as advance,
        ):
            measured = opened.run(cases, repetitions, advance)
    rows = summarise(measured)
    if as_json:
        runs = [one.as_dict() for one in measured]
        print(json.dumps({"facts": facts, "rows": rows, "runs": runs}))
    else:
        _print(facts, rows)
    without_figure = [row for row in rows if row["goodput_per_s"] is None]
    for row in without_figure:
        reason = "; ".join(row["violations"]) or "nothing was sold"
        complain(f"no figure for {row['candidate']}: {reason}")
    raise click.exceptions.Exit(VIOLATION if without_figure else CLEAN)


def _server() -> contextlib.AbstractContextManager[str]:
    """Return the server to measure on: the one in use, or else a temporary one."""
    from ticketsvc.database.kept import find_kept
    from ticketsvc.database.locate import fresh_database, kept_database

    settings = DatabaseSettings.load()
    in_use = settings.database_url or find_kept(settings)
    return kept_database() if in_use else fresh_database()


def _facts(conninfo: str, seconds: float, repetitions: int, durable: bool) -> dict[str, Any]:
    import os

    import psycopg

    from ticketsvc.lab.bench.load_pool import worker_count

    with psycopg.connect(conninfo) as connection:
        version = connection.info.parameter_status("server_version")
        [(fsync,)] = connection.execute("SHOW fsync").fetchall()
    return {
        "PostgreSQL": version,
        "fsync": fsync,
        "synchronous_commit": "on" if durable else "off",
        "processors": os.cpu_count(),
        "load workers": worker_count(),
        "seconds": seconds,
        "repetitions": repetitions,
    }


def _print(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    print_facts("measured on", facts)
    # A column with the default in every row is left out.
    shown = [
        name
        for name in _COLUMNS
        if name not in _DEFAULTS or any(row[name] != _DEFAULTS[name] for row in rows)
    ]
    if facts["repetitions"] == 1:
        shown.remove("spread")
    print_table(
        [_COLUMNS[name][0] for name in shown],
        [[_cell(row, name) for name in shown] for row in rows],
    )
    print_facts("what the columns mean", {_COLUMNS[name][0]: _COLUMNS[name][2] for name in shown})
    print("\n".join(findings(rows)))


def findings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say under each load which candidate sells the most, by how much, and whether that is sure."""
    sellers = [row for row in rows if row["audit"] != "sells nothing"]
    varied = [name for name in _LOAD if len({row[name] for row in sellers}) > 1]

    def load(row: Mapping[str, Any]) -> str:
        return ", ".join(f"{_COLUMNS[name][0]} {row[name]:,}" for name in varied)

    return [
        f"{which}: {_fastest(several)}".removeprefix(": ")
        for which, several in itertools.groupby(sellers, load)
    ]


def _fastest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Compare the fastest of *rows* with the next, or with the service without a database."""
    from ticketsvc.lab.bench.summary import resolved

    known = [row for row in rows if row["goodput_per_s"] is not None]
    if not known:
        return "nothing has a figure."
    first, *others = sorted(known, key=lambda row: row["goodput_per_s"], reverse=True)
    sells = f"{first['candidate']} sells {first['goodput_per_s']:,.0f} purchases a second"
    if not others:
        share = first["of_noop"]
        return f"{sells}, {share:.0%} of what noop answers." if share else f"{sells}."
    times = first["goodput_per_s"] / others[0]["goodput_per_s"]
    if first["repetitions"] == 1:
        sure = "each was measured once, so this may be chance"
    elif resolved(first, others[0]):
        sure = "the difference is resolved, since its slowest repetition beat the other's fastest"
    else:
        sure = "the difference is not resolved, since their repetitions overlap"
    return f"{sells}, {times:.1f} times as many as the next, {others[0]['candidate']}: {sure}."


def _cell(row: Mapping[str, Any], name: str) -> object:
    if name == "spread":
        least, most = row["goodput_min"], row["goodput_max"]
        return None if least is None else f"{least:,.0f}–{most:,.0f}"
    value = row[name]
    if value == "sells nothing":
        return None
    if isinstance(value, float):
        return f"{value:,.{_COLUMNS[name][1]}f}"
    return f"{value:,}" if isinstance(value, int) else value
