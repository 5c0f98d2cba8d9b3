"""Bursts: reset an event, send purchases to running services, judge what is left."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from yarl import URL

from ticketsvc.allocators import ALLOCATORS, SAFE
from ticketsvc.database.schemas import SchemaName
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.verdicts import EventVerdict, listed
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.overlap import run_overlapping
from ticketsvc.lab.figures import EXACT, record
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt, summarise
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each

_PROCESSES = 4  # started at a time: each holds its connections


@dataclass(frozen=True)
class Trial:
    """What one burst tries: an allocator on a schema, a stock, and purchases of it."""

    allocator: str
    schema: SchemaName
    total: int
    workload: Workload
    pool_size: int = 10  # the original's


@dataclass(frozen=True)
class Burst:
    """One burst: what was tried, what the buyers were answered, what the database holds after it.

    *reads_released_s* is when its reads were released, on the monotonic clock; None: its purchases
    were not held.
    """

    trial: Trial
    processes: int
    history: list[Attempt]
    verdict: EventVerdict
    reads_released_s: float | None = None

    def by_process(self) -> dict[int, list[Attempt]]:
        """Return what each process answered: 1, 2, … in the order of their ports."""
        answered: dict[int, list[Attempt]] = {}
        for attempt in self.history:
            answered.setdefault(URL(attempt.url).port or 0, []).append(attempt)
        return {place: answered[port] for place, port in enumerate(sorted(answered), 1)}


def burst_table(bursts: Sequence[Burst]) -> pd.DataFrame:
    """Return a table with one row per burst: the answers counted, then the ledger."""
    return pd.DataFrame([_row(burst) for burst in bursts])


def _row(burst: Burst) -> dict[str, Any]:
    trial, verdict, answers = burst.trial, burst.verdict, summarise(burst.history)
    return {
        "allocator": trial.allocator,
        "schema": trial.schema,
        "processes": burst.processes,
        "purchases": trial.workload.purchases,
        "quantity": trial.workload.quantity,
        "total": trial.total,
        **{name: answers[name] for name in ("successes", "refused")},
        "unknown": answers["unknown"] + answers["failed"],
        **{name: answers[name] for name in ("tickets", "unique", "duplicates")},
        **{name: getattr(verdict, name) for name in ("available", "issued", "oversold", "clean")},
    }


def endings(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the different rows of *table* in *columns*, and how many *bursts* ended so."""
    return table[list(columns)].value_counts(sort=False).rename("bursts").reset_index()


def answers(bursts: Sequence[Burst]) -> pd.DataFrame:
    """Count the answers: one row per allocator, schema, status and message."""
    found = pd.DataFrame(
        [
            {
                "allocator": burst.trial.allocator,
                "schema": burst.trial.schema,
                "status": attempt.status,
                "message": attempt.message or "sold",
            }
            for burst in bursts
            for attempt in burst.history
        ]
    )
    return found.value_counts(sort=False).rename("purchases").reset_index()


def issued_numbers(lab: Lab, burst: Burst) -> list[int]:
    """Return every ticket number that the database holds of the burst's event, copies included."""
    ledger = lab.ledger(burst.trial.schema, burst.trial.workload.event)
    return [number for issue in ledger.issues for number in range(issue.first, issue.last + 1)]


def most_even_of_each(bursts: Sequence[Burst]) -> list[Burst]:
    """Return, of each allocator, the burst in which the process that sold least sold most."""
    of_each: dict[str, list[Burst]] = {}
    for burst in bursts:
        of_each.setdefault(burst.trial.allocator, []).append(burst)
    return [max(several, key=_least_sold) for several in of_each.values()]


def _least_sold(burst: Burst) -> int:
    """Return how many tickets the process that sold least was answered with."""
    answered = burst.by_process().values()
    return min(sum(len(attempt.tickets) for attempt in attempts) for attempts in answered)


def sales_by_process(bursts: Sequence[Burst]) -> pd.DataFrame:
    """Return one row per ticket in an answer: the allocator, the process and the number."""
    return pd.DataFrame(
        [
            {"allocator": burst.trial.allocator, "process": process, "number": number}
            for burst in bursts
            for process, attempts in burst.by_process().items()
            for attempt in attempts
            for number in attempt.tickets
        ],
        columns=["allocator", "process", "number"],
    )


def purchases_by_process(bursts: Sequence[Burst]) -> pd.DataFrame:
    """Count the purchases that each process answered: a row per burst, a column per process."""
    counts = [
        {process: len(attempts) for process, attempts in burst.by_process().items()}
        for burst in bursts
    ]
    return pd.DataFrame(counts).fillna(0).astype(int)


async def run_bursts(
    lab: Lab,
    *allocators: str,
    event: str,
    kinds: Sequence[Sequence[int]],
    quantity: int = 8,
    repetitions: int = 1,
    schema: SchemaName | None = None,
    ports: Sequence[int] = (0,),
    trace: Path | None = None,
) -> list[Burst]:
    """Run bursts of each of *kinds*, (purchases, total), *repetitions* times by each allocator.

    Each burst is on a reset event, and is judged; all its purchases overlap. Without *schema* each
    allocator sells on its plainest one. One server process per port takes all bursts of an
    allocator: a start takes longer than most bursts. A port that is taken is replaced by a free
    one.
    """
    repeated = [kind for kind in kinds for _ in range(repetitions)]
    at_a_time = max(1, _PROCESSES // len(ports))
    bursts = []
    with counted("bursts", len(repeated) * len(allocators)) as count:
        for first in range(0, len(allocators), at_a_time):
            started = [
                (name, schema or ALLOCATORS[name].mechanism.plainest_schema)
                for name in allocators[first : first + at_a_time]
            ]
            wanted = [
                (name, {"schema": its_schema, "port": port, "trace": trace})
                for name, its_schema in started
                for port in ports
            ]
            with running_each(lab.url, wanted) as urls:
                for place, (name, its_schema) in enumerate(started):
                    its_urls = urls[place * len(ports) : (place + 1) * len(ports)]
                    for purchases, total in repeated:
                        workload = Workload(event, purchases, quantity, concurrency=purchases)
                        trial = Trial(name, its_schema, total, workload)
                        bursts.append(await run_trial(lab, its_urls, trial))
                        count()
    _record(bursts)
    return bursts


def _record(bursts: Sequence[Burst]) -> None:
    """Record how many tickets and duplicates each kind of burst issued.

    Where all reads come first, or a safe allocator sells, every run must repeat these counts.
    """
    kinds = ["allocator", "schema", "processes", "purchases", "total"]
    for kind, same in burst_table(bursts).groupby(kinds, sort=False):
        allocator, schema, processes, purchases, total = kind
        naive = (allocator, schema) == ("naive", "original")
        exact = naive or allocator in SAFE
        for column in ("tickets", "duplicates"):
            what = f"{allocator} on {schema}, {purchases} purchases of an event of {total}"
            record(
                f"{column}: {what}, processes: {processes}",
                "",
                *same[column],
                noise=EXACT if exact else None,
            )


async def run_trial(lab: Lab, urls: Sequence[str], trial: Trial) -> Burst:
    """Reset the event, send its purchases, and judge what is left.

    Purchases with times of arrival come at these times. Others are made to overlap: all have
    read the stock before the first subtracts. Raise `NoOverlap` when that does not succeed.
    """
    workload = trial.workload
    await asyncio.to_thread(lab.reset, trial.schema, workload.event, trial.total)
    released_s = None
    if workload.arrivals_s is None:
        history, released_s = await run_overlapping(
            lab.url, urls, workload, trial.schema, writers=_writers(trial, len(urls))
        )
    else:
        history = await run_workload(urls, workload)
    verdict = await asyncio.to_thread(lab.audit, trial.schema, workload.event, history)
    return Burst(trial, len(urls), history, verdict, released_s)


def _writers(trial: Trial, processes: int) -> int:
    """Return how many sessions wait for the pool row when all reads are done.

    Purchases go to the processes in turn, and each process has *pool_size* sessions. A safe
    allocator reads under a lock, or sells a whole batch in one session: one is enough.
    """
    if trial.allocator in SAFE:
        return 1
    purchases = trial.workload.purchases
    shares = [len(range(place, purchases, processes)) for place in range(processes)]
    return sum(min(trial.pool_size, share) for share in shares)


def violations(burst: Burst) -> pd.DataFrame:
    """List what the checker found broken: one row per kind, who shows it, and what caused it."""
    columns = ["kind", "count", "message", "purchases", "cause"]
    rows = [
        (one.kind, one.count, one.message, listed(one.purchases), one.cause or "unexplained")
        for one in burst.verdict.violations
    ]
    return pd.DataFrame(rows, columns=columns)
