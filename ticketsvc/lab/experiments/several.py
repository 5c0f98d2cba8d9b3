"""Several instances with different allocators on one event, and ranges expanded while it sells."""

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from yarl import URL

from ticketsvc.database.expansion import Expansion, expand
from ticketsvc.database.statements import load
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.scale import CommitCost, commit_in_turn, fit
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each


@dataclass(frozen=True)
class MixedSale:
    """What several instances sold, while and after ranges became rows."""

    sold: pd.DataFrame
    during: Expansion
    after: Expansion
    history: list[Attempt]
    verdict: EventVerdict

    @property
    def expanded(self) -> int:
        """How many tickets were sold in a range and have a row each now."""
        return self.during.tickets + self.after.tickets


async def expand_one_purchase(lab: Lab, *, event: str) -> pd.DataFrame:
    """Sell one purchase of 8 as a range, then give each of its tickets a row.

    One row before and one after: rows in the ledger, tickets, clean.
    """
    await asyncio.to_thread(lab.reset, "fixed", event, 8)
    await asyncio.to_thread(_reserve, lab, event, 1)
    before = await asyncio.to_thread(_count, lab, event)
    await expand(lab.url, event=event, workers=1)
    after = await asyncio.to_thread(_count, lab, event)
    columns = ["rows", "tickets", "clean"]
    return pd.DataFrame([before, after], columns=columns, index=["as a range", "expanded"])


def _count(lab: Lab, event: str) -> tuple[int, int, bool]:
    ledger = lab.ledger("fixed", event)
    verdict = check_event(ledger)
    return len(ledger.issues), verdict.issued, verdict.clean


async def sell_mixed(
    lab: Lab, allocators: Sequence[str], workload: Workload, *, total: int, workers: int
) -> MixedSale:
    """Sell one event by an instance of each allocator; expand its ranges meanwhile, and after."""
    event = workload.event
    await asyncio.to_thread(lab.reset, "fixed", event, total)
    wanted = [(name, {"schema": "fixed"}) for name in allocators]
    with running_each(lab.url, wanted) as urls, counted("purchases", workload.purchases) as count:
        selling = asyncio.create_task(run_workload(urls, workload, on_answer=lambda _: count()))
        during = Expansion(0, 0)
        while not selling.done():
            part = await expand(lab.url, event=event, workers=workers)
            during = Expansion(during.tickets + part.tickets, part.ranges_left)
            await asyncio.sleep(0.02)
        history = await selling
    after = await expand(lab.url, event=event, workers=workers)
    by_port = {
        URL(url).port: f"{name} {n}"
        for n, (url, name) in enumerate(zip(urls, allocators, strict=True), 1)
    }
    sold = pd.Series(
        [by_port[URL(one.url).port] for one in history for _ in one.tickets], name="tickets"
    )
    verdict = await asyncio.to_thread(lab.audit, "fixed", event, history)
    return MixedSale(sold.value_counts().to_frame("tickets"), during, after, history, verdict)


def measure_commits(lab: Lab, *, event: str, batch: int, repetitions: int) -> CommitCost:
    """Measure a commit of one purchase and one of *batch*, in turns; return what explains both."""
    lab.reset("fixed", event, 8 * repetitions * (batch + 1))
    probes = _Probes(lab, event, batch)
    with counted("commits of each size", repetitions) as count:
        for _ in range(repetitions):
            probes.take()
            count()
    return probes.cost()


def compare(
    lab: Lab,
    arrivals_s: Sequence[float],
    *,
    event: str,
    sizes: Sequence[int],
    batch: int,
    repetitions: int,
) -> pd.DataFrame:
    """Return how long the same queue takes, simulated and measured: a row per size of batch.

    The cost of a commit is measured *repetitions* times or more between the commits of the queue
    itself, and medians count on both sides: a busy machine slows down both.
    """
    rows = []
    with counted("sizes of batch", len(sizes)) as count:
        for most in sizes:
            commits = math.ceil(len(arrivals_s) / most)
            lab.reset("fixed", event, 8 * (len(arrivals_s) + (commits + repetitions) * (batch + 1)))
            probes = _Probes(lab, event, batch)
            commit = _commit_between(probes, commits, repetitions)
            measured = commit_in_turn(arrivals_s, commit, most)
            simulated = commit_in_turn(arrivals_s, probes.cost().simulate, most)
            rows.append((most, len(arrivals_s), *map(_typical_s, (simulated, measured))))
            count()
    return pd.DataFrame(rows, columns=["batch", "purchases", "simulated_s", "measured_s"])


def _commit_between(
    probes: "_Probes", commits: int, repetitions: int
) -> Callable[[int, float], float]:
    """Return a function that commits for real, for `commit_in_turn`, and takes probes meanwhile.

    Of *commits* calls so many take probes first that these are *repetitions* or more.
    """
    every, at_once = max(1, commits // repetitions), math.ceil(repetitions / commits)
    calls = itertools.count()

    def commit(purchases: int, began_s: float) -> float:
        if next(calls) % every == 0:
            for _ in range(at_once):
                probes.take()
        return began_s + probes.seconds_to_reserve(purchases)

    return commit


def _typical_s(commits: pd.DataFrame) -> float:
    """Return how long *commits* take together if each takes as long as their median."""
    return float((commits["ended_s"] - commits["began_s"]).median() * len(commits))


class _Probes:
    """Commits of one purchase and of *batch*, timed."""

    def __init__(self, lab: Lab, event: str, batch: int) -> None:
        self._lab, self._event, self._batch = lab, event, batch
        self._seconds: dict[int, list[float]] = {1: [], batch: []}

    def take(self) -> None:
        """Time one commit of each size."""
        for size, seconds in self._seconds.items():
            seconds.append(self.seconds_to_reserve(size))

    def cost(self) -> CommitCost:
        """Return the cost that explains the medians."""
        single_s, batch_s = map(statistics.median, self._seconds.values())
        return fit(single_s, self._batch, batch_s)

    def seconds_to_reserve(self, purchases: int) -> float:
        """Sell this many in one commit; return how long that took."""
        began = time.perf_counter()
        _reserve(self._lab, self._event, purchases)
        return time.perf_counter() - began


def _reserve(lab: Lab, event: str, purchases: int) -> None:
    query = load("scale", "fixed")["reserve"].query
    lab.connection.execute(query, {"event": event, "purchases": purchases})
