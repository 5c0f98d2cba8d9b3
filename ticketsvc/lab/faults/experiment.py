"""Run fault experiments: sell without a pause, inject a fault, wait for recovery, and judge."""

import asyncio
import contextlib
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ticketsvc.database.embedded import EmbeddedServer
from ticketsvc.lab.bench.database import with_durability
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import judge
from ticketsvc.lab.faults.disposable_postgres import disposable_postgres, ledger_on, make_event
from ticketsvc.lab.faults.failover import FAILOVER, KINDS, Pair, disposable_pair
from ticketsvc.lab.faults.faults import Target
from ticketsvc.lab.faults.records import FaultExperiment, FaultResult, Injection, NotRecovered
from ticketsvc.lab.faults.response_dropping_proxy import response_dropping_proxy
from ticketsvc.lab.faults.restarting_service import RestartingService
from ticketsvc.lab.figures import EXACT, record
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload

_RECOVERY_TIMEOUT_S = 60.0
_POLL_S = 0.01
_UNLIMITED = 10**9
WAL_WRITER_DELAY_S = 10
"""How long a commit that does not wait for its flush may stay in memory: the longest possible.

With it a few crashes show what PostgreSQL's default, 0.2 s, shows now and then.
"""
_SERVER_SETTINGS = {"wal_writer_delay": f"{WAL_WRITER_DELAY_S}s"}
if sys.platform == "linux":
    # After a crash PostgreSQL flushes its files, one after the other or, much faster, at once.
    _SERVER_SETTINGS["recovery_init_sync_method"] = "syncfs"


async def run_fault_experiments(
    experiments: Sequence[FaultExperiment], on_injection: Callable[[], None] = lambda: None
) -> list[FaultResult]:
    """Run the experiments one after the other on disposable PostgreSQL servers.

    Experiments with the same allocators, durability and number of processes share their services,
    and all share one server; a failover has two. Each has its own event. Raise `TicketsvcError`
    when nothing is sold within a minute after a fault.
    """
    servers: dict[bool | None, EmbeddedServer | Pair] = {}
    services: dict[tuple[bool | None, tuple[str, ...], bool, int], list[RestartingService]] = {}
    results = []
    with contextlib.ExitStack() as stack, counted("experiments", len(experiments)) as count:
        for number, experiment in enumerate(experiments):
            paired = experiment.synchronous if experiment.fault == FAILOVER else None
            if paired not in servers:
                if paired is None:
                    servers[paired] = stack.enter_context(disposable_postgres(_SERVER_SETTINGS))
                else:
                    servers[paired] = stack.enter_context(disposable_pair(synchronous=paired))
            server = servers[paired]
            kind = paired, experiment.allocators, experiment.durable, experiment.processes
            if kind not in services:
                # Not awaited: a signal in between would leave services that nobody stops.
                services[kind] = _start_services(server.url, experiment)
                stack.callback(_close_services, services[kind])
            event = f"FAULTS-{number}"
            make_event(server.url, event)
            results.append(await _run(experiment, server, services[kind], event, on_injection))
            _record(results[-1])
            count()
    return results


def _record(result: FaultResult) -> None:
    """Record what must be zero, and how long the service took to sell again."""
    experiment, row = result.experiment, result.row()
    if experiment.keys and experiment.durable and experiment.synchronous:
        for loss in ("sold_twice", "lost", "unresolved"):
            record(f"{loss} after {experiment.fault}, with keys", "", row[loss], noise=EXACT)
        took = [one.recovery_s for one in result.injections]
        record(f"recovery from {experiment.fault}", "s", *took)


def _start_services(url: str, experiment: FaultExperiment) -> list[RestartingService]:
    address = with_durability(url, experiment.durable)
    names = itertools.islice(itertools.cycle(experiment.allocators), experiment.processes)
    with ThreadPoolExecutor() as threads:
        return list(threads.map(lambda name: RestartingService(address, name), names))


def _close_services(services: Sequence[RestartingService]) -> None:
    with ThreadPoolExecutor() as threads:
        list(threads.map(RestartingService.close, services))


async def _run(
    experiment: FaultExperiment,
    server: EmbeddedServer | Pair,
    services: Sequence[RestartingService],
    event: str,
    on_injection: Callable[[], None],
) -> FaultResult:
    restarts = sum(one.restarts for one in services)
    pair = server if isinstance(server, Pair) else None
    primary = server.primary if isinstance(server, Pair) else server
    async with contextlib.AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(response_dropping_proxy(one.url)) for one in services
        ]
        sellers = proxies if experiment.fault == "answer_dropped" else services
        sales = _Sales(experiment, [one.url for one in sellers], event)
        stack.callback(sales.selling.cancel)
        abandoned = threading.Event()
        stack.callback(abandoned.set)
        target = Target(experiment, primary, services, proxies, abandoned, lambda: sales.sold, pair)
        injections = await _inject(target, sales, on_injection)
        sales.enough = True
        history = await sales.selling
    ledger = ledger_on(server.url, event)
    restarts = sum(one.restarts for one in services) - restarts
    verdict = judge(ledger, history)
    return FaultResult(experiment, injections, history, ledger, verdict, restarts)


async def _inject(
    target: Target, sales: "_Sales", on_injection: Callable[[], None]
) -> list[Injection]:
    experiment = target.experiment
    injections: list[Injection] = []
    await sales.reach(experiment.between)
    while sum(one.interrupted > 0 for one in injections) < experiment.times:
        # At any moment, not only just after an answer.
        await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311
        interrupted, at_s = sales.interrupted, time.monotonic()
        await asyncio.to_thread(KINDS[experiment.fault], target)
        restored_s = time.monotonic()
        first_sale_s = await sales.first_since(restored_s)
        interrupted = sales.interrupted - interrupted
        injections.append(Injection(at_s, restored_s, first_sale_s, interrupted))
        if interrupted:
            on_injection()
        await sales.reach(sales.sold + experiment.between)
    return injections


class _Sales:
    """Sell until it is enough, count the answers as they come, and wait for sales."""

    def __init__(self, experiment: FaultExperiment, urls: Sequence[str], event: str) -> None:
        self.sold = 0
        self.interrupted = 0
        self.enough = False
        self._since_s = float("inf")
        self._first_s: float | None = None
        workload = Workload(
            event,
            purchases=_UNLIMITED,
            concurrency=experiment.buyers,
            timeout_s=experiment.timeout_s,
            keys=experiment.keys,
            retry_s=_RECOVERY_TIMEOUT_S if experiment.retry else 0.0,
            retry_unavailable=experiment.retry,
        )
        self.selling = asyncio.create_task(
            run_workload(urls, workload, on_answer=self._note, enough=lambda: self.enough)
        )

    def _note(self, attempt: Attempt) -> None:
        if attempt.outcome != "ok":
            self.interrupted += 1
            return
        self.sold += 1
        if self._first_s is None and attempt.sent_s >= self._since_s:
            self._first_s = attempt.answered_s

    async def reach(self, count: int) -> None:
        """Wait until *count* purchases are sold."""
        await self._wait(lambda: self.sold >= count)

    async def first_since(self, since_s: float) -> float:
        """Wait for a sale that was asked for after *since_s*, and return when it was answered."""
        self._since_s, self._first_s = since_s, None
        await self._wait(lambda: self._first_s is not None)
        return self._first_s or since_s

    async def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _RECOVERY_TIMEOUT_S
        while not condition():
            if self.selling.done():
                self.selling.result()  # raises what ended it
            if self.selling.done() or time.monotonic() > deadline:
                raise NotRecovered(f"the service has not sold for {_RECOVERY_TIMEOUT_S:.0f} s")
            await asyncio.sleep(_POLL_S)
