"""What a commit of one purchase and of many costs, and whether the queue is as simulated."""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence

import pandas as pd

from ticketsvc.database.statements import load
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.scale import CommitCost, commit_in_turn, fit


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
        reserve(self._lab, self._event, purchases)
        return time.perf_counter() - began


def reserve(lab: Lab, event: str, purchases: int) -> None:
    """Sell *purchases* of 8 tickets of *event* in one commit."""
    query = load("scale", "fixed")["reserve"].query
    lab.connection.execute(query, {"event": event, "purchases": purchases})
