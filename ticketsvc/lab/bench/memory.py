"""Whether a service forgets: its memory before and after many events were bought of once."""

import time
from typing import Any

from ticketsvc.database.scratch import scratch_database
from ticketsvc.errors import UsageError
from ticketsvc.lab.bench import load_pool as buying
from ticketsvc.lab.bench.database import Stage, with_durability
from ticketsvc.lab.bench.load_spec import Shot
from ticketsvc.lab.bench.meter import family, resident_bytes
from ticketsvc.lab.bench.plan import Contender
from ticketsvc.lab.bench.servers import posted_to
from ticketsvc.lab.workload.services import start_service

_CONNECTIONS = 32
_WARM_UP_EVENTS = 200
_PATIENCE_S = 120.0
_IDLE_S = 2.0


def resident_after_events(
    conninfo: str, allocator: str, events: int, *, schema: str = "fixed"
) -> dict[str, Any]:
    """Buy once of each of so many events, let the service idle, and compare its memory.

    Before: warm, after purchases of a few other events. Not durable, since nothing is timed.
    """
    contender = Contender(allocator, durable=False)
    with (
        scratch_database(conninfo, "bench") as database,
        start_service(with_durability(database, False), allocator) as service,
    ):
        stage = Stage(database, schema)
        url = posted_to(contender, service.url)
        try:
            _touch(url, stage.fresh(_WARM_UP_EVENTS))
            before = resident_bytes(family(service.process.pid))
            sold = _touch(url, stage.fresh(events))
            after = resident_bytes(family(service.process.pid))
        finally:
            stage.close()
    return {
        "contender": allocator,
        "events": events,
        "purchases": sold,
        "before_bytes": before,
        "after_bytes": after,
        "grown_bytes": after - before,
        "grown_bytes_per_event": (after - before) / events,
    }


def _touch(url: str, events: tuple[str, ...]) -> int:
    """Buy once of each, one process only, so that none is left out."""
    fired = buying.fire(
        Shot(url, events, 8, _CONNECTIONS, _PATIENCE_S, limit=len(events)), most_processes=1
    )
    if fired.sold != len(events):
        raise UsageError(f"only {fired.sold} of {len(events)} events sold a purchase")
    time.sleep(_IDLE_S)
    return fired.sold
