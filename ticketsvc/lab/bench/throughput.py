"""How fast one hot event sells: the tables of the notebook, from audited runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ticketsvc.allocators import SAFE
from ticketsvc.lab.bench.candidates import our_candidates
from ticketsvc.lab.bench.lock_hold import Hold
from ticketsvc.lab.bench.lock_hold_probes import lock_holds
from ticketsvc.lab.bench.plan import BenchCase
from ticketsvc.lab.bench.suite import Bench, open_bench
from ticketsvc.lab.bench.summary import Measurement, resolved, summarise
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.figures import record

POOL_SIZE = 4
"""Connections of each service: all services, two per allocator, share one server."""
_LONGER_S = (1.0, 5.0, 25.0)


@dataclass(frozen=True)
class Throughput:
    """What was measured: rows of `summary.summarise`, and how many purchases commits carried."""

    by_connections: pd.DataFrame
    durability: pd.DataFrame
    batches: pd.DataFrame

    @property
    def clean(self) -> bool:
        """Whether every ledger is clean and agrees with what the clients counted."""
        sales = pd.concat([self.by_connections, self.durability])
        sales = sales[sales["kind"] == "allocator"]
        return bool((sales["audit"] == "clean").all())

    def rate(self, allocator: str, connections: int) -> float:
        """Return the purchases per second of an allocator, durable, at *connections*."""
        return self.per_purchase("goodput_per_s", allocator, connections)

    def per_purchase(self, column: str, allocator: str, connections: int) -> float:
        """Return a column of an allocator, durable, at *connections*: a cost per purchase."""
        rows = self.by_connections.set_index(["name", "connections"])
        return float(rows[column][allocator, connections])

    def of_durability(self, column: str) -> pd.DataFrame:
        """Return a column of `durability` by allocator, durable (True) beside not (False)."""
        return self.durability.pivot(index="name", columns="durable", values=column)


async def time_one_purchase(lab: Lab, *, repetitions: int) -> list[Hold]:
    """Return what one purchase takes alone, by each safe allocator: the least of several times."""
    return await lock_holds(lab.url, dict.fromkeys(SAFE, 1), repetitions=repetitions)


def measure_throughput(
    lab: Lab, *, connections: Sequence[int], at: int, seconds: float, repetitions: int
) -> Throughput:
    """Measure every safe allocator and the no-op, durable, at each number of connections.

    At *at* connections the allocators are measured *repetitions* times, durable and not, in turns.
    The durable runs also say how many purchases a commit carried, of those that store ranges. One
    database; all services run throughout. What sells nothing in *seconds* gets more time.
    """
    noop, *durable = [one for one in our_candidates(SAFE) if one.kind != "bare_noop"]
    loose = [replace(one, durable=False) for one in durable]
    compared = [BenchCase(one, at) for one in [*durable, *loose]]
    shown = [BenchCase(one, many) for many in connections for one in [noop, *durable]]
    once = [case for case in shown if case not in compared]
    candidates = [noop, *durable, *loose]
    with open_bench(lab.url, candidates, seconds=seconds, pool_size=POOL_SIZE) as bench:
        measured = run_until_all_sell(bench, [*once, *compared * repetitions])
        batches = _batches(bench, measured)
    cases = dict.fromkeys(one.case for one in measured)
    rows = dict(zip(cases, summarise(measured), strict=True))
    _record(measured)
    return Throughput(
        pd.DataFrame([rows[case] for case in shown]),
        pd.DataFrame([rows[case] for case in compared]),
        batches,
    )


def run_until_all_sell(bench: Bench, cases: Sequence[BenchCase]) -> list[Measurement]:
    """Measure *cases* in turns; one that sold nothing in its time is measured again, for longer."""
    measured = bench.run(cases, 1)
    for seconds in _LONGER_S:
        idle = [one.case for one in measured if not one.result.sold]
        longer = iter(replace(bench, seconds=seconds).run(idle, 1) if idle else ())
        measured = [one if one.result.sold else next(longer) for one in measured]
    return measured


def _record(measured: Sequence[Measurement]) -> None:
    """Record what sold how fast, where every run of it was clean."""
    for case in dict.fromkeys(one.case for one in measured):
        rates = [one.goodput_per_s for one in measured if one.case == case]
        known = [rate for rate in rates if rate is not None]
        if len(known) == len(rates):
            what = f"purchases sold by {case.candidate.label}, {case.connections} clients"
            record(what, "per s", *known)


def _batches(bench: Bench, measured: Sequence[Measurement]) -> pd.DataFrame:
    """Return one row per durable case and batch size: purchases, and commits of that size."""
    rows = []
    sales = [one for one in measured if one.case.candidate.sells and one.case.candidate.durable]
    for case in dict.fromkeys(one.case for one in sales):
        database = bench.servers[case.candidate].database
        events = [event for one in sales if one.case == case for event in one.events]
        for purchases, commits in database.purchases_per_commit(events) if database else ():
            rows.append((case.candidate.name, case.connections, purchases, commits))
    return pd.DataFrame(rows, columns=["allocator", "connections", "purchases", "commits"])


def mean_batch(batches: pd.DataFrame, allocator: str, connections: int) -> float:
    """Return how many purchases a commit carried on average."""
    chosen = (batches["allocator"] == allocator) & (batches["connections"] == connections)
    rows = batches[chosen]
    return float((rows["purchases"] * rows["commits"]).sum() / rows["commits"].sum())


def effects_of_not_waiting(durability: pd.DataFrame) -> "pd.Series[float]":
    """Return by allocator how many times as fast it sells when it does not wait for the flush.

    NaN where no difference was resolved. *durability*: rows of `summary.summarise`.
    """
    rows = durability.set_index(["name", "durable"])
    names = dict.fromkeys(durability["name"])
    return pd.Series(
        {name: _ratio(rows.loc[(name, True)], rows.loc[(name, False)]) for name in names}
    )


def _ratio(waits: "pd.Series[Any]", does_not: "pd.Series[Any]") -> float:
    if not resolved(waits.to_dict(), does_not.to_dict()):
        return math.nan
    return float(does_not["goodput_per_s"] / waits["goodput_per_s"])


async def predict(
    lab: Lab, measured: Throughput, alone: Sequence[Hold], *, connections: int, repetitions: int
) -> pd.DataFrame:
    """Predict what one event sells from times measured alone, beside what it sold.

    One row per allocator: purchases per commit, milliseconds of round trips, work and flush,
    predicted and measured purchases per second. *alone*: as `time_one_purchase` returns it. A
    commit that carried several purchases on average is measured with as many; its flush is theirs.
    """
    commits = {name: measured.per_purchase("transactions", name, connections) for name in SAFE}
    purchases = {name: round(1 / each) if each < 1 else 1 for name, each in commits.items()}
    batches = {name: many for name, many in purchases.items() if many > 1}
    holds = {one.allocator: one for one in alone}
    for one in await lock_holds(lab.url, batches, repetitions=repetitions) if batches else ():
        holds[one.allocator] = replace(one, flush_s=holds[one.allocator].flush_s)
    return pd.DataFrame(
        [
            {
                "allocator": one.allocator,
                "purchases_per_commit": one.purchases,
                "trips_ms": one.trips_s * 1e3,
                "work_ms": one.work_s * 1e3,
                "flush_ms": one.flush_s * 1e3,
                "predicted_per_s": one.predicted_per_s,
                "measured_per_s": measured.rate(one.allocator, connections),
            }
            for one in holds.values()
        ]
    )
