"""How long a round trip, a purchase alone and a batch alone take: the model's ingredients."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.pool import Pool, checkout, make_pool
from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.bench.database import Stage, with_durability
from ticketsvc.lab.bench.model import Hold, hold
from ticketsvc.purchases import Purchase
from ticketsvc.settings import load_settings

_WARM_UP = 10
_Action = Callable[[], Awaitable[None]]


async def lock_holds(
    conninfo: str, purchases: Mapping[str, int], *, repetitions: int
) -> list[Hold]:
    """Measure what a commit of each allocator is made of, by its real code on one connection.

    *purchases*: how many one commit carries, by allocator. All take turns, durable and
    not; medians. The flush is what durable takes longer, the same for all.
    """
    with scratch_database(conninfo, "bench") as database:
        stage = Stage(database, "fixed")
        try:
            [event] = stage.fresh(1)
        finally:
            stage.close()
        settings = load_settings().model_copy(update={"pool_size": 1})
        waits, leaves = (
            make_pool(with_durability(database, durable), settings) for durable in (True, False)
        )
        async with waits, leaves:
            actions: list[_Action] = [lambda: _round_trip(waits)]
            for name, many in purchases.items():
                actions += [_buying(pool, name, event, many) for pool in (waits, leaves)]
            trip, *times = await _medians(actions, repetitions)
    pairs = list(zip(times[::2], times[1::2], strict=True))
    flush = median(durable - not_durable for durable, not_durable in pairs)
    return [
        hold(name, purchases=many, round_trip_s=trip, alone_s=not_durable, flush_s=flush)
        for (name, many), (_, not_durable) in zip(purchases.items(), pairs, strict=True)
    ]


def _buying(pool: Pool, name: str, event: str, many: int) -> _Action:
    """Return what buys *many* times at once: of an allocator that batches, one batch."""
    allocator = ALLOCATORS[name](pool, "fixed")
    purchase = Purchase(user_id="probe", event_id=event, quantity=8)

    async def buy() -> None:
        await asyncio.gather(*(allocator.allocate(purchase) for _ in range(many)))

    return buy


async def _round_trip(pool: Pool) -> None:
    async with checkout(pool) as connection:
        await connection.execute("SELECT 1")


async def _medians(actions: list[_Action], repetitions: int) -> list[float]:
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(_WARM_UP + repetitions):
        for action, taken in zip(actions, times, strict=True):
            began = time.perf_counter()
            await action()
            taken.append(time.perf_counter() - began)
    return [median(taken[_WARM_UP:]) for taken in times]
