"""`bench`: throughput and cost, side by side."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from ticketsvc.cli.console import complain, print_facts, print_table, progress
from ticketsvc.cli.root import CLEAN, VIOLATION, Finite, as_json_option, ticketsvc
from ticketsvc.errors import UsageError
from ticketsvc.settings import load_settings

_COLUMNS = {
    "contender": "contender",
    "connections": "conns",
    "events": "events",
    "quantity": "qty",
    "sold_before": "sold before",
    "goodput_per_s": "sold/s",
    "spread": "least–most",
    "of_noop": "of noop",
    "of_range": "of range",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "server_cpu_us": "CPU µs",
    "database_cpu_us": "DB µs",
    "wal_bytes": "WAL B",
    "transactions": "xacts",
    "refused": "refused",
    "audit": "audit",
}
_DIGITS = {"of_noop": 2, "of_range": 2, "p50_ms": 1, "p95_ms": 1, "p99_ms": 1, "transactions": 3}

_GROWN = {
    "goodput": "sold/s",
    "server_cpu_us": "CPU",
    "database_cpu_us": "DB",
    "wal_bytes": "WAL",
}


@ticketsvc.command()
@click.option(
    "--allocator", "allocators", multiple=True, help="Repeat; all right ones if not given."
)
@click.option(
    "--peer-url", "peers", multiple=True, metavar="[NAME=]URL", help="A service that runs."
)
@click.option("--peer-database-url", help="Where peers sell: for fresh events, and the audit.")
@click.option("--peer-schema", default="public", show_default=True, help="In which schema.")
@click.option("--peer-event", help="What to buy of peers whose database is not given.")
@click.option("--peer-noop-url", help="What a peer answers without a database.")
@click.option("--connections", type=int, multiple=True, help="Repeat; 64 if not given.")
@click.option("--events", type=int, default=1, show_default=True, help="1: one hot event.")
@click.option("--quantity", type=int, default=8, show_default=True, help="Tickets per purchase.")
@click.option(
    "--seconds",
    type=Finite(0.2, 600),
    default=3.0,
    show_default=True,
    help="Of each measurement; wrk takes whole ones.",
)
@click.option(
    "--repetitions",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Taking turns; the median is given.",
)
@click.option("--durable/--not-durable", default=True, help="Not: no commit waits for its flush.")
@click.option("--keys", is_flag=True, help="Also with an Idempotency-Key in each purchase.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--pool-size", type=click.IntRange(1, 200), default=10, show_default=True)
@click.option("--generator", type=click.Choice(["auto", "wrk", "own"]), default="auto")
@click.option("--grow", type=click.Choice(["tickets", "events", "quantity", "connections"]))
@click.option("--size", "sizes", type=int, multiple=True, help="With --grow: how large; repeat.")
@as_json_option
def bench(
    allocators: tuple[str, ...],
    peers: tuple[str, ...],
    peer_database_url: str | None,
    peer_schema: str,
    peer_event: str | None,
    peer_noop_url: str | None,
    connections: tuple[int, ...],
    events: int,
    quantity: int,
    seconds: float,
    repetitions: int,
    durable: bool,
    keys: bool,
    workers: int,
    pool_size: int,
    generator: Any,
    grow: Any,
    sizes: tuple[int, ...],
    as_json: bool,
) -> None:
    """Measure throughput and cost side by side, each run audited. Exit 1: one was not clean.

    Sells in a database of its own, dropped at the end. One hot event unless --events says more.
    """
    from ticketsvc.lab.bench import contenders as who
    from ticketsvc.lab.bench.figures import clean, summarise
    from ticketsvc.lab.bench.generators import choose_generator
    from ticketsvc.lab.bench.growth import cases_along, read_growth
    from ticketsvc.lab.bench.memory import resident_after_events
    from ticketsvc.lab.bench.plan import DEFAULT_CONNECTIONS, MAX_EVENTS, Case, fault_of_load
    from ticketsvc.lab.bench.suite import open_bench

    if sizes and not grow:
        raise UsageError("--size goes with --grow: what is to be made larger?")
    if grow and len(connections) > 1:
        raise UsageError("--grow makes one thing larger: give --connections once, or --size")
    loads = connections or (DEFAULT_CONNECTIONS,)
    for each in loads:
        if fault := fault_of_load(connections=each, events=events, quantity=quantity, sold=0):
            raise UsageError(f"--{fault}")
    peer = _peer(peers, peer_database_url, peer_schema, peer_event)
    names = allocators or who.right_allocators()
    chosen = [
        *who.ours(names, durable=durable, workers=workers, keys=keys),
        *who.foreign(peers, peer_noop_url),
    ]
    base = Case(chosen[0], loads[0], events, quantity)
    if grow:
        cases = cases_along(grow, chosen, base, sizes)
    else:
        cases = [
            Case(one, each, events if one.sells else 1, quantity)
            for each in loads
            for one in chosen
        ]
    fires = choose_generator(generator)
    with _server() as conninfo:
        facts = _facts(conninfo, fires.name, seconds, repetitions, durable)
        with (
            open_bench(
                conninfo, chosen, seconds=seconds, generator=fires, pool_size=pool_size, peer=peer
            ) as opened,
            progress("measurements", len(cases) * repetitions) as advance,
        ):
            measured = opened.run(cases, repetitions, advance)
        memory = (
            [resident_after_events(conninfo, name, max(sizes or (MAX_EVENTS,))) for name in names]
            if grow == "events"
            else []
        )
    rows = summarise(measured)
    growth = read_growth(grow, rows) if grow else []
    if as_json:
        runs = [one.as_dict() for one in measured]
        told = {"facts": facts, "rows": rows, "runs": runs, "growth": growth, "memory": memory}
        print(json.dumps(told))
    else:
        _print(facts, rows, growth, memory)
    for row in rows:
        if not clean(row):
            complain(
                f"no figure for {row['contender']}: {'; '.join(row['faults']) or 'nothing sold'}"
            )
    raise click.exceptions.Exit(CLEAN if all(map(clean, rows)) else VIOLATION)


def _peer(peers: Sequence[str], database_url: str | None, schema: str, event: str | None) -> Any:
    from ticketsvc.database.locate import check_server
    from ticketsvc.lab.bench.suite import Peer

    if (database_url or event) and not peers:
        raise UsageError("--peer-database-url and --peer-event go with --peer-url")
    if peers and not (database_url or event):
        raise UsageError(
            "--peer-url needs --peer-database-url, to make events and to audit them, "
            "or --peer-event, to buy of one that is there, unaudited"
        )
    if database_url:
        check_server(database_url)
    return Peer(database_url or "", schema, event or "")


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """Return the server to measure on: the one in use, else one of our own for this run."""
    from ticketsvc.database.home import home
    from ticketsvc.database.kept import find_kept
    from ticketsvc.database.locate import fresh_database, kept_database

    settings = load_settings()
    folder = home(settings.home)
    running = settings.database_url or find_kept(folder, binaries_folder=settings.postgres_bin)
    with (kept_database if running else fresh_database)(settings) as conninfo:
        yield conninfo


def _facts(
    conninfo: str, generator: str, seconds: float, repetitions: int, durable: bool
) -> dict[str, Any]:
    import os

    import psycopg

    with psycopg.connect(conninfo) as connection:
        version = connection.info.parameter_status("server_version")
        fsync = connection.execute("SELECT current_setting('fsync')").fetchone()
    return {
        "PostgreSQL": version,
        "fsync": fsync[0] if fsync else None,
        "synchronous_commit": "on" if durable else "off",
        "processors": os.cpu_count(),
        "generator": generator,
        "seconds": seconds,
        "repetitions": repetitions,
    }


def _print(
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    growth: Sequence[Mapping[str, Any]],
    memory: Sequence[Mapping[str, Any]],
) -> None:
    print_facts("measured on", facts)
    # A column that says the same of every row says nothing.
    usual = {"events": 1, "quantity": 8, "sold_before": 0, "refused": 0}
    shown = [
        name
        for name in _COLUMNS
        if name not in usual or any(row[name] != usual[name] for row in rows)
    ]
    if facts["repetitions"] == 1:
        shown.remove("spread")
    print_table(
        [_COLUMNS[name] for name in shown], [[_cell(row, name) for name in shown] for row in rows]
    )
    for one in growth:
        costs = ", ".join(
            f"{words} ×{one[name]:.2f}" for name, words in _GROWN.items() if one[name] is not None
        )
        print(
            f"{one['contender']}, {one['axis']} {one['from_size']:,} to {one['to_size']:,}: "
            f"{costs}; " + (one["because"] or "flat")
        )
    for one in memory:
        print(
            f"{one['contender']}: resident memory {one['before_bytes'] / 2**20:.1f} MiB, after "
            f"{one['events']:,} more events, idle, {one['after_bytes'] / 2**20:.1f} MiB "
            f"({one['grown_bytes_per_event']:.0f} bytes an event)"
        )


def _cell(row: Mapping[str, Any], name: str) -> object:
    if name == "spread":
        least, most = row["goodput_min"], row["goodput_max"]
        return None if least is None else f"{least:,.0f}–{most:,.0f}"
    value = row[name]
    if value == "sells nothing" or (name == "of_range" and row["name"] == "noop"):
        return None
    if isinstance(value, float):
        return f"{value:,.{_DIGITS.get(name, 0)}f}"
    return f"{value:,}" if isinstance(value, int) else value
