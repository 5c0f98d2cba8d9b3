"""What a fix costs beside the original: how long a purchase takes, and how many are sold."""

import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Any

import pandas as pd

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SchemaName
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each


async def cost_of_fixes(
    lab: Lab, fixes: Sequence[str], *, event: str, purchases: int, buyers: int, repetitions: int
) -> pd.DataFrame:
    """Sell *event* by the original and by each of *fixes*, in turns, with tickets for all.

    Each sells on its plainest schema.

    Each time a quarter of the *purchases* is made by one buyer, then all of them by *buyers* at a
    time. One row per allocator: alone_ms and together_ms, medians of what a purchase took; sold
    per second, the median of all times, and of_original; refused and clean over all of them.
    """
    alone = Workload(event, purchases // 4, concurrency=1)
    together = Workload(event, purchases, concurrency=buyers)
    runs = []
    names = ("naive", *fixes)
    wanted = [(name, {"schema": _schema(name), "pool_size": min(buyers, 10)}) for name in names]
    with (
        running_each(lab.url, wanted) as urls,
        counted("sales", repetitions * len(names)) as count,
    ):
        for _ in range(repetitions):
            for name, url in zip(names, urls, strict=True):
                runs.append({"allocator": name, **await _sell(lab, name, url, alone, together)})
                count()
    table = (
        pd.DataFrame(runs)
        .groupby("allocator", sort=False)
        .agg(
            alone_ms=("alone_ms", "median"),
            together_ms=("together_ms", "median"),
            sold_per_s=("sold_per_s", "median"),
            refused=("refused", "sum"),
            clean=("clean", "all"),
        )
    )
    table.insert(3, "of_original", table["sold_per_s"] / table.loc["naive", "sold_per_s"])
    return table


async def _sell(
    lab: Lab, name: str, url: str, alone: Workload, together: Workload
) -> dict[str, Any]:
    """Sell the event once; return the row of this sale."""
    total = (alone.purchases + together.purchases) * together.quantity
    await asyncio.to_thread(lab.reset, _schema(name), together.event, total)
    one, many = [await run_workload([url], load) for load in (alone, together)]
    verdict = await asyncio.to_thread(lab.audit, _schema(name), together.event, one + many)
    began_s, ended_s = min(each.sent_s for each in many), max(each.answered_s for each in many)
    return {
        "alone_ms": _typical_ms(one),
        "together_ms": _typical_ms(many),
        "sold_per_s": sum(each.outcome == "ok" for each in many) / (ended_s - began_s),
        "refused": sum(each.outcome != "ok" for each in one + many),
        "clean": verdict.clean,
    }


def _schema(name: str) -> SchemaName:
    return ALLOCATORS[name].mechanism.plainest_schema


def _typical_ms(history: Sequence[Attempt]) -> float:
    return 1e3 * median(one.answered_s - one.sent_s for one in history)
