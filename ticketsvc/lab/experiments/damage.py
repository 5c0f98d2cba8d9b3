"""How likely the naive allocator does damage, against what the arrivals are like."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from statistics import median

import pandas as pd

from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.confidence import wilson_interval
from ticketsvc.lab.experiments.bursts import Trial, run_trial
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

    async def with_pool(size: int, urls: Sequence[str]) -> list[dict[str, float]]:
        arrivals = random.Random(seed)  # noqa: S311 - an experiment, repeatable
        rows = []
        own = Lab(lab.url)  # with a connection of its own
        with contextlib.closing(own.connection):
            for number in purchases:
                draws = [
                    tuple(sorted(arrivals.uniform(0, window_s) for _ in range(number)))
                    for _ in range(repetitions)
                ]
                damaged, took_ms = await _count_damaged(own, urls, f"{event}-{size}", draws, size)
                count()
                low, high = wilson_interval(damaged, repetitions, _CONFIDENCE)
                rows.append(
                    {
                        "pool_size": size,
                        "purchases": number,
                        "took_ms": took_ms,
                        "repetitions": repetitions,
                        "damaged": damaged,
                        "probability": damaged / repetitions,
                        "low": low,
                        "high": high,
                    }
                )
        return rows

    kinds = len(purchases) * len(pool_sizes)
    # All services are started before the first arrival.
    wanted = [("naive", {"pool_size": size}) for size in pool_sizes]
    with running_each(lab.url, wanted) as urls, counted("kinds of burst", kinds) as count:
        found = await asyncio.gather(*map(with_pool, pool_sizes, [[url] for url in urls]))
    return pd.DataFrame([row for rows in found for row in rows])


async def _count_damaged(
    lab: Lab,
    urls: Sequence[str],
    event: str,
    draws: Sequence[tuple[float, ...]],
    pool_size: int,
) -> tuple[int, float]:
    damaged, took_s = 0, []
    for arrivals_s in draws:
        number = len(arrivals_s)
        workload = Workload(event, number, concurrency=number, arrivals_s=arrivals_s)
        trial = Trial("naive", "original", number * workload.quantity, workload, pool_size)
        burst = await run_trial(lab, urls, trial)
        damaged += not burst.verdict.clean
        took_s += [one.answered_s - one.sent_s for one in burst.history]
    return damaged, 1e3 * median(took_s)
