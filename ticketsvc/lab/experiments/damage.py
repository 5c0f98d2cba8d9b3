"""How likely the naive allocator does damage, against what the arrivals are like."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from statistics import median

import pandas as pd

from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.confidence import wilson_interval
from ticketsvc.lab.experiments.bursts import Burst, Trial, run_trial
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each

_CONFIDENCE = 0.95


async def by_purchases(
    lab: Lab,
    event: str,
    purchases: Sequence[int],
    pool_sizes: Sequence[int],
    *,
    window_s: float,
    repetitions: int,
    seed: int,
) -> pd.DataFrame:
    """Measure how often each number of *purchases* that arrive within *window_s* does damage.

    Arrivals are uniform over the window, drawn from *seed*; the stock is enough for all. Pool
    sizes run side by side, each with a server process and an event of its own. One row per
    pool size and number: repetitions, damaged, probability and its 95 % interval (Wilson), and
    took_ms, the median of what a purchase took.
    """

    async def with_pool(size: int, url: str) -> list[dict[str, float]]:
        arrivals = random.Random(seed)  # noqa: S311 - an experiment, repeatable
        rows = []
        own = Lab(lab.url)  # with a connection of its own
        with contextlib.closing(own.connection):
            for number in purchases:
                bursts = []
                for _ in range(repetitions):
                    times_s = sorted(arrivals.uniform(0, window_s) for _ in range(number))
                    load = Workload(
                        f"{event}-{size}", number, concurrency=number, arrivals_s=tuple(times_s)
                    )
                    trial = Trial("naive", "original", number * load.quantity, load, size)
                    bursts.append(await run_trial(own, [url], trial))
                rows.append({"pool_size": size, "purchases": number, **_damage(bursts)})
                count()
        return rows

    kinds = len(purchases) * len(pool_sizes)
    # All services are started before the first arrival.
    wanted = [("naive", {"pool_size": size}) for size in pool_sizes]
    with running_each(lab.url, wanted) as urls, counted("kinds of burst", kinds) as count:
        found = await asyncio.gather(*map(with_pool, pool_sizes, urls))
    return pd.DataFrame([row for rows in found for row in rows])


def _damage(bursts: Sequence[Burst]) -> dict[str, float]:
    damaged = sum(not burst.verdict.clean for burst in bursts)
    low, high = wilson_interval(damaged, len(bursts), _CONFIDENCE)
    took_s = [one.answered_s - one.sent_s for burst in bursts for one in burst.history]
    return {
        "repetitions": len(bursts),
        "damaged": damaged,
        "probability": damaged / len(bursts),
        "low": low,
        "high": high,
        "took_ms": 1e3 * median(took_s),
    }
