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

from ticketsvc.lab.bench.meter import family, resident_bytes
from ticketsvc.lab.bench.summary import percentile
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import judge
from ticketsvc.lab.faults.disposable_postgres import disposable_postgres, ledger_on, make_event
from ticketsvc.lab.figures import record
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import Service, start_service

_EVENT = "OVERLOAD"
_ALLOCATOR = "range"
_BUYERS = 64  # while the sustained rate is measured
_SPARE_CONNECTIONS = 300
_POLL_S = 0.2


@dataclass(frozen=True)
class OverloadSpec:
    """How much load to offer: *times* the sustained rate, for *seconds*.

    *flush_ms*: how much longer each flush of the database takes. *max_waiting*: the most purchases
    in flight. *peak_s*: how long the sustained rate is measured first.
    """

    times: float = 10.0
    seconds: float = 30.0
    peak_s: float = 5.0
    flush_ms: int = 10
    max_waiting: int = 100


async def run_overload(
    spec: OverloadSpec, on_answer: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Measure the rate that one service sustains, then offer *spec.times* that rate.

    Return what was sold and refused, by name; rates are purchases per second. The service sells
    from a disposable PostgreSQL server.
    """
    settings = {"commit_delay": str(spec.flush_ms * 1000), "commit_siblings": "0"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(disposable_postgres(settings))
        make_event(server.url, _EVENT)
        service = stack.enter_context(
            start_service(
                server.url,
                _ALLOCATOR,
                environment={"TICKETSVC_MAX_WAITING": str(spec.max_waiting)},
            )
        )
        count = stack.enter_context(counted("answers"))

        def answered(_: Attempt) -> None:
            on_answer()
            count()

        end = time.monotonic() + spec.peak_s
        peak = await run_workload(
            [service.url],
            Workload(_EVENT, purchases=10**9, concurrency=_BUYERS),
            on_answer=answered,
            enough=lambda: time.monotonic() >= end,
        )
        peak_per_s = _rate(peak, spec.peak_s)
        before = resident_bytes(family(service.process.pid))
        flood, most = await _flood(service, spec, peak_per_s, answered)
        ledger = ledger_on(server.url, _EVENT)
    sold, refused = _latencies_ms(flood, "ok"), _latencies_ms(flood, "refused")
    offered_per_s = len(flood) / (flood[-1].sent_s - flood[0].sent_s)
    goodput_per_s = _rate(flood, spec.seconds)
    record("purchases sold before the overload", "per s", peak_per_s)
    record(f"share of it sold under {spec.times:g} times the load", "", goodput_per_s / peak_per_s)
    statuses = {one.status for one in flood if one.outcome == "refused"}
    return {
        "allocator": _ALLOCATOR,
        "peak_per_s": peak_per_s,
        "offered_per_s": offered_per_s,
        "of_peak_offered": offered_per_s / peak_per_s,
        "offered": len(flood),
        "goodput_per_s": goodput_per_s,
        "of_peak": goodput_per_s / peak_per_s,
        "max_waiting": spec.max_waiting,
        "sold": len(sold),
        "refused": len(refused),
        "refused_p50_ms": percentile(refused, 0.5),
        "refused_p99_ms": percentile(refused, 0.99),
        "sold_p50_ms": percentile(sold, 0.5),
        "sold_p99_ms": percentile(sold, 0.99),
        "memory_before_mib": before / 2**20,
        "memory_most_mib": most / 2**20,
        "refused_with": ", ".join(sorted(map(str, statuses))),
        "unknown": sum(one.outcome in ("unknown", "failed") for one in flood),
        "audit": judge(ledger, [*peak, *flood]).status,
    }


async def _flood(
    service: Service, spec: OverloadSpec, peak_per_s: float, on_answer: Callable[[Attempt], None]
) -> tuple[list[Attempt], int]:
    """Offer the load; return the history, and the most memory that the service took."""
    purchases = round(spec.times * peak_per_s * spec.seconds)
    arrivals = tuple(number * spec.seconds / purchases for number in range(purchases))
    workload = Workload(
        _EVENT,
        purchases=purchases,
        concurrency=spec.max_waiting + _SPARE_CONNECTIONS,
        arrivals_s=arrivals,
    )
    asking = asyncio.create_task(run_workload([service.url], workload, on_answer=on_answer))
    most = 0
    while not asking.done():
        most = max(most, resident_bytes(family(service.process.pid)))
        await asyncio.sleep(_POLL_S)
    return await asking, most


def _rate(history: Sequence[Attempt], seconds: float) -> float:
    """Return the purchases sold per second within *seconds* of the first request."""
    end = min(one.sent_s for one in history) + seconds
    return sum(one.outcome == "ok" and one.answered_s <= end for one in history) / seconds


def _latencies_ms(history: Sequence[Attempt], outcome: str) -> list[float]:
    return sorted(1000 * (one.answered_s - one.sent_s) for one in history if one.outcome == outcome)
