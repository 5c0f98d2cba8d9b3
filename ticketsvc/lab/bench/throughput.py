"""How fast one hot event sells, for the notebook: tables from audited runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ticketsvc.lab.bench import contenders as who
from ticketsvc.lab.bench.generators import Choice, choose_generator
from ticketsvc.lab.bench.measure import measure
from ticketsvc.lab.bench.plan import Case, Contender
from ticketsvc.lab.bench.probes import lock_holds
from ticketsvc.lab.bench.suite import Bench, open_bench
from ticketsvc.lab.experiments.lab import Lab

ALLOCATORS = ("ticket_rows", "range", "group_commit")
SHOWN = [
    "contender",
    "connections",
    "goodput_per_s",
    "of_noop",
    "of_range",
    "p50_ms",
    "p99_ms",
    "server_cpu_us",
    "database_cpu_us",
    "wal_bytes",
    "transactions",
    "audit",
]
"""The columns of a table that a reader is shown; costs are per purchase."""

SHOWN_OF_DURABILITY = [name for name in SHOWN if not name.startswith("of_")]
SHOWN_OF_DURABILITY.insert(-1, "at_risk_purchases")


@dataclass(frozen=True)
class Throughput:
    """What was measured: rows as `figures.summarise` gives them, and commits by their size."""

    by_connections: pd.DataFrame
    durability: pd.DataFrame
    batches: pd.DataFrame
    generator: str

    @property
    def clean(self) -> bool:
        """Whether every run was: its ledger without fault, and as large as the buyers were told."""
        sales = pd.concat([self.by_connections, self.durability])
        sales = sales[sales["kind"] == "allocator"]
        return bool((sales["audit"] == "clean").all() and sales["goodput_per_s"].notna().all())

    def rate(self, allocator: str, connections: int) -> float:
        """Return the purchases per second of an allocator, durable, at so many connections."""
        return float(self._row(allocator, connections)["goodput_per_s"])

    def commits(self, allocator: str, connections: int) -> float:
        """Return the commits per purchase likewise."""
        return float(self._row(allocator, connections)["transactions"])

    def of_durability(self, column: str) -> pd.DataFrame:
        """Return a column of `durability` by allocator, durable (True) beside not (False)."""
        return self.durability.pivot(index="name", columns="durable", values=column)

    def _row(self, allocator: str, connections: int) -> "pd.Series[float]":
        rows = self.by_connections
        return rows[(rows["name"] == allocator) & (rows["connections"] == connections)].iloc[0]


def measure_throughput(
    lab: Lab,
    *,
    connections: Sequence[int],
    at: int,
    seconds: float,
    repetitions: int = 1,
    generator: Choice = "auto",
) -> Throughput:
    """Measure every right allocator and the no-op, durable, at each number of connections.

    Then, at *at* connections, durable and not side by side, and how many purchases each commit
    carried. One database, all services running, taking turns.
    """
    durable = who.ours(ALLOCATORS)
    not_durable = [Contender(name, durable=False) for name in ALLOCATORS]
    chosen = choose_generator(generator)
    with open_bench(lab.url, [*durable, *not_durable], seconds=seconds, generator=chosen) as bench:
        sweep = [Case(one, many) for many in connections for one in durable]
        pairs = [Case(one, at) for one in (*durable[1:], *not_durable)]
        return Throughput(
            pd.DataFrame(bench.table(sweep, repetitions)),
            pd.DataFrame(bench.table(pairs, repetitions)),
            _batches(bench, [Case(one, at) for one in durable[2:]]),
            chosen.name,
        )


def _batches(bench: Bench, cases: Sequence[Case]) -> pd.DataFrame:
    """Return one row per allocator and size of commit: purchases, and commits that had so many."""
    rows = []
    for case in cases:
        server = bench.servers[case.contender]
        if server.stage is None:
            continue
        events = server.stage.fresh(1)
        measure(case, server, bench.generator, bench.seconds, events)
        rows += [
            {"allocator": case.contender.name, "purchases": purchases, "commits": commits}
            for purchases, commits in server.stage.purchases_per_commit(events)
        ]
    return pd.DataFrame(rows, columns=["allocator", "purchases", "commits"])


def mean_batch(batches: pd.DataFrame, allocator: str) -> float:
    """Return how many purchases a commit carried on average."""
    rows = batches[batches["allocator"] == allocator]
    return float((rows["purchases"] * rows["commits"]).sum() / rows["commits"].sum())


async def predict(
    lab: Lab, measured: Throughput, *, connections: int, repetitions: int
) -> pd.DataFrame:
    """Predict what one event sells from times measured alone, beside what it sold.

    One row per allocator: purchases per commit, milliseconds of round trips, work and flush,
    predicted and measured purchases per second. `group_commit` is taken at its mean batch.
    """
    batch = round(1 / measured.commits("group_commit", connections))
    purchases = {"ticket_rows": 1, "range": 1, "group_commit": max(1, batch)}
    holds = await lock_holds(lab.url, purchases, repetitions=repetitions)
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
            for one in holds
        ]
    )
