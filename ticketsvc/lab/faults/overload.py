"""Offer a service many times the load it can sell, and count what it sells and refuses.

The load is open-loop: purchases arrive at a fixed rate, whether or not earlier ones have been
answered. The database flushes slowly, so that it is the limit, not the processor that buyers and
service share.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ticketsvc.lab.bench.figures import percentile
from ticketsvc.lab.bench.meter import family, resident_bytes
from ticketsvc.lab.checker.check import judge
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.faults.disposable_postgres import disposable_postgres, ledger_on, make_event
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import start_service

EVENT = "OVERLOAD"
_SPARE_CONNECTIONS = 300
_POLL_S = 0.2


@dataclass(frozen=True)
class OverloadSpec:
    """How much load to offer: *times* the sustained rate, for *seconds*.

    *flush_ms*: how much longer each flush of the database takes. *max_waiting*: the most purchases
    in flight. *peak_s*: how long the sustained rate is measured first, with *buyers* buyers.
    """

    times: float = 10.0
    seconds: float = 30.0
    peak_s: float = 5.0
    buyers: int = 64
    flush_ms: int = 10
    max_waiting: int = 100
    allocator: str = "range"


@dataclass(frozen=True)
class OverloadResult:
    """What was sold and refused. Rates are purchases per second, latencies milliseconds."""

    spec: OverloadSpec
    peak_per_s: float
    offered_per_s: float
    goodput_per_s: float
    refused: int
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    sold_p50_ms: float | None
    sold_p99_ms: float | None
    memory_before_mib: float
    memory_most_mib: float
    verdict: EventVerdict
    unknown: int
    statuses: Sequence[int]

    def row(self) -> dict[str, Any]:
        """Return one row of a table."""
        return {
            "allocator": self.spec.allocator,
            "peak_per_s": self.peak_per_s,
            "offered_per_s": self.offered_per_s,
            "of_peak_offered": self.offered_per_s / self.peak_per_s,
            "goodput_per_s": self.goodput_per_s,
            "of_peak": self.goodput_per_s / self.peak_per_s,
            "refused": self.refused,
            "refused_p50_ms": self.refused_p50_ms,
            "refused_p99_ms": self.refused_p99_ms,
            "sold_p50_ms": self.sold_p50_ms,
            "sold_p99_ms": self.sold_p99_ms,
            "memory_before_mib": self.memory_before_mib,
            "memory_most_mib": self.memory_most_mib,
            "refused_with": ", ".join(map(str, self.statuses)),
            "unknown": self.unknown,
            "audit": self.verdict.status,
        }


async def run_overload(
    spec: OverloadSpec, on_answer: Callable[[], None] = lambda: None
) -> OverloadResult:
    """Measure the rate that one service sustains, then offer *spec.times* that rate.

    The service sells from a disposable PostgreSQL server.
    """
    settings = {"commit_delay": str(spec.flush_ms * 1000), "commit_siblings": "0"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(disposable_postgres(settings))
        make_event(server, EVENT)
        service = stack.enter_context(
            start_service(
                server.url,
                spec.allocator,
                environment={"TICKETSVC_MAX_WAITING": str(spec.max_waiting)},
            )
        )
        peak = await _sustained(service.url, spec)
        peak_per_s = _rate(peak, spec.peak_s)
        before = resident_bytes(family(service.process.pid))
        flood = await _flood(service.url, spec, peak_per_s, service.process.pid, on_answer)
        ledger = ledger_on(server, EVENT)
    verdict = judge(ledger, [*peak, *flood.history])
    sold = _latencies_ms(flood.history, "ok")
    refused = _latencies_ms(flood.history, "refused")
    return OverloadResult(
        spec,
        peak_per_s,
        len(flood.history) / flood.sent_within_s,
        _rate(flood.history, spec.seconds),
        len(refused),
        percentile(refused, 0.5),
        percentile(refused, 0.99),
        percentile(sold, 0.5),
        percentile(sold, 0.99),
        before / 2**20,
        flood.most_bytes / 2**20,
        verdict,
        sum(one.outcome in ("unknown", "failed") for one in flood.history),
        sorted({one.status or 0 for one in flood.history if one.outcome == "refused"}),
    )


async def _sustained(url: str, spec: OverloadSpec) -> list[Attempt]:
    end = time.monotonic() + spec.peak_s
    workload = Workload(EVENT, purchases=10**9, concurrency=spec.buyers)
    return await run_workload([url], workload, enough=lambda: time.monotonic() >= end)


@dataclass
class _Flood:
    history: list[Attempt]
    sent_within_s: float
    most_bytes: int


async def _flood(
    url: str, spec: OverloadSpec, peak_per_s: float, pid: int, on_answer: Callable[[], None]
) -> _Flood:
    purchases = round(spec.times * peak_per_s * spec.seconds)
    arrivals = tuple(number * spec.seconds / purchases for number in range(purchases))
    workload = Workload(
        EVENT,
        purchases=purchases,
        concurrency=spec.max_waiting + _SPARE_CONNECTIONS,
        arrivals_s=arrivals,
    )
    asking = asyncio.create_task(run_workload([url], workload, on_answer=lambda _: on_answer()))
    most = 0
    while not asking.done():
        most = max(most, resident_bytes(family(pid)))
        await asyncio.sleep(_POLL_S)
    history = await asking
    return _Flood(history, history[-1].sent_s - history[0].sent_s, most)


def _rate(history: Sequence[Attempt], seconds: float) -> float:
    """Return the purchases sold per second within *seconds* of the first request."""
    end = min(one.sent_s for one in history) + seconds
    return sum(one.outcome == "ok" and one.answered_s <= end for one in history) / seconds


def _latencies_ms(history: Sequence[Attempt], outcome: str) -> list[float]:
    return sorted(1000 * (one.answered_s - one.sent_s) for one in history if one.outcome == outcome)


def overload_table(result: OverloadResult) -> pd.DataFrame:
    """Return the result as a table with one line per figure."""
    row = {name: round(v, 2) if isinstance(v, float) else v for name, v in result.row().items()}
    return pd.DataFrame({"value": [str(value) for value in row.values()]}, index=list(row))
