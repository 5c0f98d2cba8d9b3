"""Make all purchases of a burst overlap, whatever else the machine is doing.

Purchases that are sent together usually meet in the service, and on a busy machine some do not:
then a late one reads what an early one has already written. Here two locks in a session of our
own hold the purchases at two points until all of them are there:

1. The pool table is locked, so that the first reads wait in the database, and the other
   purchases in the service's queue for a connection, which is first in, first out. The service's
   own count of purchases in flight says when all have arrived.
2. The table is unlocked, and the event's pool row stays locked. Every read now returns: all of
   them stand in the queue before the first insert. A subtraction waits for the row. When as many
   sessions wait as the service can have, no read is left.
3. The row is unlocked.

The bug is still the service's own. The locks only delay statements, as a slow disk or another
long transaction does; the service's code, its statements and their order for each purchase are
unchanged. An allocator that is safe stays safe under the same delays.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import aiohttp
from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload

_LIMIT_S = 60.0
_LOOK_S = 0.005
_IN_FLIGHT = re.compile(r"^ticketsvc_purchases_in_flight (\S+)$", re.MULTILINE)


class NoOverlap(Exception):
    """The purchases of a burst could not be made to overlap: nothing can be concluded from it."""


async def run_overlapping(
    database_url: str,
    urls: Sequence[str],
    workload: Workload,
    schema: str,
    *,
    writers: int,
    limit_s: float = _LIMIT_S,
) -> tuple[list[Attempt], float]:
    """Run *workload* so that all its purchases have read the stock before any subtracts.

    Return the history, and when the reads were released (on the monotonic clock).

    *writers* is how many sessions of the services wait for the pool row when no read is left.
    Raise `NoOverlap` when the purchases do not get that far within *limit_s* seconds.
    """
    statements = load("overlap", schema)
    async with (
        await AsyncConnection.connect(
            database_url, autocommit=True, application_name="ticketsvc-overlap"
        ) as holder,
        aiohttp.ClientSession() as session,
    ):

        async def in_flight() -> int:
            return sum([await _in_flight(session, url) for url in urls])

        async def waiting() -> int:
            cursor = await statements["waiting_sessions"].execute(holder)
            (count,) = await cursor.fetchone() or (0,)
            return int(count)

        burst: asyncio.Task[list[Attempt]] | None = None
        try:
            async with holder.transaction():
                await statements["lock_row"].execute(holder, event=workload.event)
                async with holder.transaction(force_rollback=True):
                    await statements["lock_table"].execute(holder)
                    burst = asyncio.create_task(run_workload(urls, workload))
                    await _until(
                        workload.purchases, "purchases in flight", in_flight, burst, limit_s
                    )
                released_s = monotonic()
                await _until(writers, "sessions waiting for the pool row", waiting, burst, limit_s)
            return await burst, released_s
        finally:
            if burst is not None and not burst.done():
                burst.cancel()
                await asyncio.wait({burst})


async def _until(
    wanted: int,
    what: str,
    count: Callable[[], Awaitable[int]],
    burst: "asyncio.Task[list[Attempt]]",
    limit_s: float,
) -> None:
    """Return when *count* reaches *wanted*; raise `NoOverlap` when it will not."""
    end = monotonic() + limit_s
    while (found := await count()) < wanted:
        if burst.done() or monotonic() > end:
            why = "all were answered" if burst.done() else f"{limit_s:g} s have passed"
            raise NoOverlap(f"{found} of {wanted} {what}, and {why}")
        await asyncio.sleep(_LOOK_S)


async def _in_flight(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(f"{url}/metrics") as response:
        found = _IN_FLIGHT.search(await response.text())
    if found is None:
        raise NoOverlap(f"{url}/metrics does not count the purchases in flight")
    return int(float(found[1]))
