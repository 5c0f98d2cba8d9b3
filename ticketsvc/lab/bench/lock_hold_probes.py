"""Measure what the lock-hold model needs: round trips, a purchase alone, a batch alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from statistics import median
from typing import Any, cast

from psycopg.rows import namedtuple_row

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.connection import ConfirmingConnection
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.statements import load
from ticketsvc.lab.bench.database import BenchDatabase, with_durability
from ticketsvc.lab.bench.lock_hold import Hold, Trips
from ticketsvc.purchases import Purchase
from ticketsvc.settings import Settings

_WARM_UP = 10
_ROUND_TRIPS = 4  # measured at a time, as in one purchase
_PURCHASE = Purchase(user_id="probe", event_id="", quantity=8)
_Action = Callable[[], Awaitable[None]]


async def lock_holds(
    conninfo: str, purchases: Mapping[str, int], *, repetitions: int
) -> list[Hold]:
    """Measure the parts of a commit of each allocator: its real code, on one connection.

    *purchases*: how many one commit carries, by allocator. All are measured in turns, durable
    and not, after their round trips were counted. The least of each counts: what else the machine
    does can only add to it. The flush is the difference between durable and not, the same for all.
    """
    with scratch_database(conninfo, "bench") as database:
        with contextlib.closing(BenchDatabase(database, "fixed")) as opened:
            [event] = opened.make_events(1)
            trips = {name: await count_trips(opened, name, event) for name in purchases}
        settings = Settings.load(pool_size=1)
        durable_pool, fast_pool = (
            Pool(with_durability(database, durable), settings) for durable in (True, False)
        )
        async with durable_pool, fast_pool:
            actions: list[_Action] = [lambda: _round_trips(durable_pool)]
            for name, many in purchases.items():
                actions += [
                    _purchases(pool, name, event, many) for pool in (durable_pool, fast_pool)
                ]
            trips_s, *times = await _least(actions, repetitions)
    pairs = list(zip(times[::2], times[1::2], strict=True))
    flush_s = max(0.0, median(durable - not_durable for durable, not_durable in pairs))
    return [
        Hold(name, trips[name], many, trips_s / _ROUND_TRIPS, not_durable, flush_s)
        for (name, many), (_, not_durable) in zip(purchases.items(), pairs, strict=True)
    ]


async def count_trips(database: BenchDatabase, name: str, event: str) -> Trips:
    """Count the round trips of one purchase by the allocator *name*, and those with a lock held.

    After each of them the server says whether the session holds a lock that a rival waits for.
    """
    async with await _OneConnection.connect(
        database.conninfo, autocommit=True, row_factory=namedtuple_row
    ) as connection:
        pid = connection.info.backend_pid
        held_at: dict[datetime, bool] = {}
        before, _ = database.rows("latest_trip", pid=pid)[0]
        connection.on_answer = lambda: held_at.update(database.rows("latest_trip", pid=pid))
        allocator = ALLOCATORS[name](cast(Pool, connection), "fixed")
        await allocator.allocate(_PURCHASE._replace(event_id=event))
        connection.on_answer = None
    held_at.pop(before, None)  # psycopg may have had nothing to send
    return Trips(len(held_at), sum(held_at.values()))


class _OneConnection(ConfirmingConnection):
    """A connection that tells of each answer, and the part of a pool that allocators use."""

    on_answer: Callable[[], object] | None = None

    async def getconn(self) -> "_OneConnection":
        """Lend itself."""
        return self

    async def putconn(self, _: ConfirmingConnection) -> None:
        """Take itself back."""

    async def wait(self, *args: Any, **options: Any) -> Any:
        """Run what is sent; tell that its answer is there."""
        result = await super().wait(*args, **options)
        if self.on_answer is not None:
            self.on_answer()
        return result


def _purchases(pool: Pool, name: str, event: str, many: int) -> _Action:
    """Return an action: *many* concurrent purchases, one batch where the allocator batches."""
    allocator = ALLOCATORS[name](pool, "fixed")
    purchase = _PURCHASE._replace(event_id=event)

    async def buy() -> None:
        await asyncio.gather(*(allocator.allocate(purchase) for _ in range(many)))

    return buy


async def _round_trips(pool: Pool) -> None:
    query = load("bench", "fixed")["round_trip"].query
    async with checkout(pool) as connection:
        for _ in range(_ROUND_TRIPS):
            await connection.execute(query)


async def _least(actions: list[_Action], repetitions: int) -> list[float]:
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(_WARM_UP + repetitions):
        for action, taken in zip(actions, times, strict=True):
            began = time.perf_counter()
            await action()
            taken.append(time.perf_counter() - began)
    return [min(taken[_WARM_UP:]) for taken in times]
