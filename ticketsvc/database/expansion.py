"""Turn ranges into one row per ticket, while the event sells.

Each batch is one statement, which removes ranges and inserts their tickets. A ticket is always in
exactly one of the two tables, so there is no mark to keep: what is left to do is the ranges.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import AsyncConnection, errors

from ticketsvc.database.statements import load

_MOST_RANGES = 1_000  # in one batch: tens of milliseconds
_TYPICAL_RANGE = 8
_BATCHES_PER_S = 10  # at a bounded rate


@dataclass(frozen=True)
class Expansion:
    """*tickets* have rows now; *ranges_left* were sold meanwhile, or others hold them."""

    tickets: int
    ranges_left: int


async def expand(
    conninfo: str,
    *,
    event: str | None = None,
    workers: int = 1,
    rate: float | None = None,
    on_tickets: Callable[[int], None] = lambda _: None,
) -> Expansion:
    """Expand the ranges of *event*, or of all, by *workers* connections.

    *rate*: tickets per second of all workers together. It may be interrupted at any time, run
    again, and run several times at once. Raise the first error of a worker; the others stop.
    """
    pace = _Pace(rate)
    ranges = _MOST_RANGES
    if rate is not None:
        ranges = max(1, min(ranges, int(rate / _BATCHES_PER_S / _TYPICAL_RANGE / workers)))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_work(conninfo, event, ranges, pace, on_tickets))
                for _ in range(workers)
            ]
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        cursor = await load("expand", "fixed")["ranges_left"].execute(connection, event=event)
        [left] = await cursor.fetchone() or [0]
    return Expansion(sum(task.result() for task in tasks), left)


class _Pace:
    """When the next batch may start, for all workers together."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due = 0.0

    async def wait(self) -> None:
        """Return when the tickets written so far are within the rate."""
        await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))

    def wrote(self, tickets: int) -> None:
        """Postpone the next batch by what these tickets take at the rate."""
        if self._rate is not None:
            now = asyncio.get_running_loop().time()
            self._due = max(self._due, now) + tickets / self._rate


async def _work(
    conninfo: str, event: str | None, ranges: int, pace: _Pace, on_tickets: Callable[[int], None]
) -> int:
    """Expand batches of each event until no range is free; return the number of tickets."""
    statements = load("expand", "fixed")
    done = 0
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        events = await (await statements["events"].execute(connection, event=event)).fetchall()
        for (name,) in events:
            while tickets := await _batch(connection, name, ranges, pace):
                done += tickets
                on_tickets(tickets)
    return done


async def _batch(connection: AsyncConnection, event: str, ranges: int, pace: _Pace) -> int:
    """Expand a batch at its time; return its tickets, or 0 when no range of *event* is free."""
    batch = load("expand", "fixed")["expand_batch"]
    while True:
        await pace.wait()
        try:
            cursor = await batch.execute(connection, event=event, ranges=ranges)
        except (errors.DeadlockDetected, errors.SerializationFailure):
            continue  # the event was reset at this moment; nothing of the batch was written
        pace.wrote(cursor.rowcount)
        return cursor.rowcount
