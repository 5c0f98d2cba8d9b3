"""`expand`: turn ranges of tickets into one row per ticket."""

import json
import time
from dataclasses import asdict

import click

from ticketsvc.cli.console import complain, counter
from ticketsvc.cli.db import connected
from ticketsvc.cli.root import Finite, as_json_option, count_option, run_async, ticketsvc
from ticketsvc.errors import UsageError


@ticketsvc.command()
@click.option("--event", help="Only this event.")
@count_option("--workers", 1, 64, default=1, help="Connections that work at the same time.")
@click.option(
    "--rate", type=Finite(1), help="At most this many tickets per second. Default: no limit."
)
@as_json_option
def expand(event: str | None, workers: int, rate: float | None, as_json: bool) -> None:
    """Turn the ranges of the schema fixed into one row per ticket.

    Sales go on meanwhile. Interrupt it at any time, run it again, run it several times at once:
    each ticket gets one row. A ticket without a row still has its range.
    """
    from psycopg.conninfo import make_conninfo

    from ticketsvc.database.expansion import expand as expand_ranges
    from ticketsvc.database.schemas import has_citus
    from ticketsvc.database.statements import load

    with connected() as connection:
        if has_citus(connection):
            raise UsageError("on Citus ranges stay ranges: see docs/decisions/0010-citus.md")
        if event is not None:
            query = load("reading", "fixed")["one_pool"].query
            if connection.execute(query, {"event": event}).fetchone() is None:
                raise UsageError(f"there is no event {event!r} in schema fixed")
        began = time.monotonic()
        conninfo = make_conninfo(connection.info.dsn, password=connection.info.password or None)
        with counter("tickets") as add:
            done = run_async(
                expand_ranges(conninfo, event=event, workers=workers, rate=rate, on_tickets=add)
            )
    seconds = time.monotonic() - began
    if as_json:
        print(json.dumps({**asdict(done), "seconds": round(seconds, 3)}))
        return
    print(f"{done.tickets:,} tickets have a row now, after {seconds:.1f} s")
    if done.ranges_left:
        complain(
            f"{done.ranges_left:,} ranges are left: sold meanwhile, or another worker has them"
        )
