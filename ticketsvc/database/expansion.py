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
    ranges, each = _MOST_RANGES, None
    if rate is not None:
        each = rate / workers
        ranges = max(1, min(ranges, int(each / _BATCHES_PER_S / _TYPICAL_RANGE)))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_work(conninfo, event, ranges, each, on_tickets))
                for _ in range(workers)
            ]
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        cursor = await load("expand", "fixed")["ranges_left"].execute(connection, event=event)
        [left] = await cursor.fetchone() or [0]
    return Expansion(sum(task.result() for task in tasks), left)


async def _work(
    conninfo: str,
    event: str | None,
    ranges: int,
    rate: float | None,
    on_tickets: Callable[[int], None],
) -> int:
    """Expand batches of each event until no range is free; return the number of tickets.

    *rate*: after each batch, wait as long as its tickets take at so many per second.
    """
    statements = load("expand", "fixed")
    done = 0
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        events = await (await statements["events"].execute(connection, event=event)).fetchall()
        for (name,) in events:
            while tickets := await _batch(connection, name, ranges):
                done += tickets
                on_tickets(tickets)
                await asyncio.sleep(tickets / rate if rate else 0)
    return done


async def _batch(connection: AsyncConnection, event: str, ranges: int) -> int:
    """Expand a batch; return its tickets, or 0 when no range of *event* is free."""
    batch = load("expand", "fixed")["expand_batch"]
    while True:
        try:
            return (await batch.execute(connection, event=event, ranges=ranges)).rowcount
        except (errors.DeadlockDetected, errors.SerializationFailure):
            continue  # the event was reset at this moment; nothing of the batch was written
