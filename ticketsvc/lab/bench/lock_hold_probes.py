"""Measure what the lock-hold model needs: a round trip, a purchase alone, a batch alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.pool import Pool, checkout, make_pool
from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.bench.database import BenchDatabase, with_durability
from ticketsvc.lab.bench.lock_hold import Hold, hold
from ticketsvc.purchases import Purchase
from ticketsvc.settings import load_settings

_WARM_UP = 10
_Action = Callable[[], Awaitable[None]]


async def lock_holds(
    conninfo: str, purchases: Mapping[str, int], *, repetitions: int
) -> list[Hold]:
    """Measure the parts of a commit of each allocator: its real code, on one connection.

    *purchases*: how many one commit carries, by allocator. All are measured in turns, durable
    and not. The least of each counts: what else the machine does can only add to it. The flush is
    the difference between durable and not, the same for all.
    """
    with scratch_database(conninfo, "bench") as database:
        with contextlib.closing(BenchDatabase(database, "fixed")) as opened:
            [event] = opened.make_events(1)
        settings = load_settings().model_copy(update={"pool_size": 1})
        durable_pool, fast_pool = (
            make_pool(with_durability(database, durable), settings) for durable in (True, False)
        )
        async with durable_pool, fast_pool:
            actions: list[_Action] = [lambda: _round_trip(durable_pool)]
            for name, many in purchases.items():
                actions += [
                    _purchases(pool, name, event, many) for pool in (durable_pool, fast_pool)
                ]
            trip, *times = await _least(actions, repetitions)
    pairs = list(zip(times[::2], times[1::2], strict=True))
    flush = median(durable - not_durable for durable, not_durable in pairs)
    return [
        hold(name, purchases=many, round_trip_s=trip, alone_s=not_durable, flush_s=flush)
        for (name, many), (_, not_durable) in zip(purchases.items(), pairs, strict=True)
    ]


def _purchases(pool: Pool, name: str, event: str, many: int) -> _Action:
    """Return an action: *many* concurrent purchases, one batch where the allocator batches."""
    allocator = ALLOCATORS[name](pool, "fixed")
    purchase = Purchase(user_id="probe", event_id=event, quantity=8)

    async def buy() -> None:
        await asyncio.gather(*(allocator.allocate(purchase) for _ in range(many)))

    return buy


async def _round_trip(pool: Pool) -> None:
    async with checkout(pool) as connection:
        await connection.execute("SELECT 1")


async def _least(actions: list[_Action], repetitions: int) -> list[float]:
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(_WARM_UP + repetitions):
        for action, taken in zip(actions, times, strict=True):
            began = time.perf_counter()
            await action()
            taken.append(time.perf_counter() - began)
    return [min(taken[_WARM_UP:]) for taken in times]
