"""Bursts: reset an event, fire purchases at running services, judge what is left."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from yarl import URL

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SchemaName
from ticketsvc.lab.checker.check import EventVerdict, listed
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.workload.burst import Workload, run_workload
from ticketsvc.lab.workload.history import Attempt, summarise
from ticketsvc.lab.workload.services import running_services

_POOL_SIZE = 10  # the original's


@dataclass(frozen=True)
class Trial:
    """What one burst puts to the test."""

    allocator: str
    schema: SchemaName
    pool_size: int
    total: int
    workload: Workload


@dataclass(frozen=True)
class Burst:
    """One burst: what was tried, what buyers were told, what the database holds after it."""

    trial: Trial
    processes: int
    history: list[Attempt]
    verdict: EventVerdict

    def row(self) -> dict[str, Any]:
        """Return one line of a table: the answers counted, then the ledger."""
        told = summarise(self.history)
        return {
            "allocator": self.trial.allocator,
            "schema": self.trial.schema,
            "processes": self.processes,
            "purchases": self.trial.workload.purchases,
            "quantity": self.trial.workload.quantity,
            "total": self.trial.total,
            "successes": told["successes"],
            "refused": told["refused"],
            "unknown": told["unknown"] + told["failed"],
            "tickets": told["tickets"],
            "unique": told["unique"],
            "duplicates": told["duplicates"],
            "available": self.verdict.available,
            "issued": self.verdict.issued,
            "oversold": self.verdict.oversold,
            "clean": self.verdict.clean,
        }


def table(bursts: Sequence[Burst]) -> pd.DataFrame:
    """Return one row per burst, as `Burst.row` has it."""
    return pd.DataFrame([burst.row() for burst in bursts])


def answers(bursts: Sequence[Burst]) -> pd.DataFrame:
    """Count what buyers were told: one row per allocator, schema, status and message."""
    told = pd.DataFrame(
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
    return told.value_counts(sort=False).rename("purchases").reset_index()


def issued_numbers(lab: Lab, burst: Burst) -> list[int]:
    """List every ticket number that the database holds of the burst's event, copies included."""
    ledger = lab.ledger(burst.trial.schema, burst.trial.workload.event)
    return [number for issue in ledger.issues for number in range(issue.first, issue.last + 1)]


def sales_by_process(burst: Burst) -> pd.DataFrame:
    """Return one row per ticket a buyer was told of: the process (its port) and the number."""
    return pd.DataFrame(
        [
            {"process": URL(attempt.url).port, "number": number}
            for attempt in burst.history
            for number in attempt.tickets
        ],
        columns=["process", "number"],
    )


async def run_bursts(
    lab: Lab,
    allocator: str,
    *,
    event: str,
    total: int,
    purchases: int,
    quantity: int = 8,
    repetitions: int = 1,
    schema: SchemaName | None = None,
    ports: Sequence[int] = (0,),
    pool_size: int = _POOL_SIZE,
    trace: Path | None = None,
) -> list[Burst]:
    """Run the same burst *repetitions* times, each on a reset event, and judge each.

    One server process per port, all of them the same for every repetition; a port that is
    taken is replaced by a free one. All purchases are sent at once.
    """
    chosen = schema or ALLOCATORS[allocator].mechanism.schemas[0]
    workload = Workload(event, purchases, quantity, concurrency=purchases)
    trial = Trial(allocator, chosen, pool_size, total, workload)
    with running_services(
        lab.url, allocator, schema=chosen, ports=ports, pool_size=pool_size, trace=trace
    ) as urls:
        return [await run_trial(lab, urls, trial) for _ in range(repetitions)]


async def run_kinds(
    lab: Lab, allocator: str, kinds: Sequence[Sequence[int]], *, event: str, repetitions: int
) -> list[Burst]:
    """Run bursts of several kinds, each given as (purchases, total), *repetitions* times each.

    One server process takes them all: a start takes longer than most bursts.
    """
    schema = ALLOCATORS[allocator].mechanism.schemas[0]
    trials = [
        Trial(
            allocator, schema, _POOL_SIZE, total, Workload(event, purchases, concurrency=purchases)
        )
        for purchases, total in kinds
        for _ in range(repetitions)
    ]
    with running_services(lab.url, allocator, schema=schema, pool_size=_POOL_SIZE) as urls:
        return [await run_trial(lab, urls, trial) for trial in trials]


async def run_trial(lab: Lab, urls: Sequence[str], trial: Trial) -> Burst:
    """Reset the event, fire the workload at running services, and judge what is left."""
    event = trial.workload.event
    await asyncio.to_thread(lab.reset, trial.schema, event, trial.total)
    history = await run_workload(urls, trial.workload)
    verdict = await asyncio.to_thread(lab.audit, trial.schema, event, history)
    return Burst(trial, len(urls), history, verdict)


def violations(burst: Burst) -> pd.DataFrame:
    """List what the checker found broken: one row per kind, who shows it, and what caused it."""
    return pd.DataFrame(
        [
            {
                **asdict(violation),
                "purchases": listed(violation.purchases),
                "cause": violation.cause or "unexplained",
            }
            for violation in burst.verdict.violations
        ],
        columns=["kind", "count", "message", "purchases", "cause", "reason"],
    )
