"""Sell under faults, and judge what was told against what is held."""

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ticketsvc.allocators import DEFAULT_ALLOCATOR
from ticketsvc.errors import TicketsvcError
from ticketsvc.lab.bench.database import with_durability
from ticketsvc.lab.checker.check import EventVerdict, judge
from ticketsvc.lab.faults.disposable_server import ledger_on, own_server
from ticketsvc.lab.faults.injection import FAULTS, Fault, Scene
from ticketsvc.lab.faults.response_dropping_proxy import cutting_proxy
from ticketsvc.lab.faults.restarting_service import Keeper
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt, by_purchase, outcome_of
from ticketsvc.lab.workload.plan import Workload

EVENT = "ORDEAL"
SHOWN = [
    "fault",
    "strikes",
    "purchases",
    "acknowledged",
    "asked_again",
    "unknown",
    "refused",
    "unresolved",
    "double",
    "lost",
    "oversold",
    "audit",
    "restarts",
    "recovery_s",
]
"""The columns of a table worth a reader's eye."""

_RECOVERY_PATIENCE_S = 60.0
_LOOK_S = 0.01


@dataclass(frozen=True)
class Trial:
    """What is put to the test: which fault how often, and how the buyers behave.

    *retry*: whether they ask again when they are not told; *keys*: under a key. *durable*: whether
    a commit waits for its flush. *timeout_s*: how long a buyer waits for an answer; *freeze_s*: how
    long a freeze lasts. *between*: purchases sold from one strike to the next.
    """

    fault: str
    times: int
    keys: bool = True
    retry: bool = True
    durable: bool = True
    allocator: str = DEFAULT_ALLOCATOR
    buyers: int = 16
    processes: int = 2
    between: int = 100
    timeout_s: float = 0.7
    freeze_s: float = 1.5


@dataclass(frozen=True)
class Strike:
    """One fault: when it came, when what it broke could work again, and the first sale after.

    All on the system-wide monotonic clock; the sale is one that was also asked for after.
    """

    at_s: float
    over_s: float
    sold_s: float

    @property
    def recovery_s(self) -> float:
        """From when it could work again to the first sale."""
        return self.sold_s - self.over_s


@dataclass(frozen=True)
class Ordeal:
    """One trial: the strikes, all that buyers were told, and what the database holds after it.

    *restarts*: how often a server process had to be started anew.
    """

    trial: Trial
    strikes: Sequence[Strike]
    history: Sequence[Attempt] = field(repr=False)
    ledger: EventLedger = field(repr=False)
    verdict: EventVerdict
    restarts: int = 0

    def row(self) -> dict[str, Any]:
        """Return one line of a table.

        Purchases by how they ended: *acknowledged*, *refused*, *unresolved* (never told). *unknown*
        counts attempts without a true answer. *double*: purchases whose buyer holds more than was
        asked for. *lost*: purchases acknowledged whose tickets are not, or no longer, the buyer's.
        Each purchase has a buyer of its own.
        """
        purchases = by_purchase(self.history)
        outcomes = Counter(map(outcome_of, purchases))
        held: dict[str, set[int]] = defaultdict(set)
        for issue in self.ledger.issues:
            held[issue.user].update(range(issue.first, issue.last + 1))
        told = [one for one in self.history if one.outcome == "ok"]
        return {
            "fault": self.trial.fault,
            "strikes": len(self.strikes),
            "keys": self.trial.keys,
            "retry": self.trial.retry,
            "durable": self.trial.durable,
            "purchases": len(purchases),
            "acknowledged": outcomes["ok"],
            "unknown": sum(one.outcome == "unknown" for one in self.history),
            "asked_again": sum(len(tries) > 1 for tries in purchases),
            "refused": outcomes["refused"],
            "unresolved": outcomes["unknown"] + outcomes["failed"],
            "double": sum(len(held[tries[0].user]) > tries[0].quantity for tries in purchases),
            "lost": sum(not held[one.user].issuperset(one.tickets) for one in told),
            "oversold": self.verdict.oversold,
            "duplicates": self.verdict.duplicates,
            "audit": self.verdict.status,
            "restarts": self.restarts,
            "recovery_s": max((strike.recovery_s for strike in self.strikes), default=None),
        }

    @property
    def nothing_lost(self) -> bool:
        """Whether nothing was oversold, doubled, lost, refused or left open, and all is clean.

        Refused: nothing sells out here, so nobody is to be turned away for good.
        """
        row = self.row()
        faults = ("refused", "unresolved", "double", "lost", "oversold", "duplicates")
        return self.verdict.clean and not any(row[name] for name in faults)


def table(ordeals: Sequence[Ordeal]) -> pd.DataFrame:
    """Return one row per ordeal, as `Ordeal.row` has it."""
    return pd.DataFrame([ordeal.row() for ordeal in ordeals])


def side_by_side(rows: pd.DataFrame, name: str = "fault") -> pd.DataFrame:
    """Turn a table of ordeals around: a column for each, by *name*, and what there is to see."""
    shown = rows.round(2).astype(object).set_index(name)
    return shown[[column for column in SHOWN if column != name]].T


def together(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put tables one below the other."""
    return pd.concat(tables, ignore_index=True)


async def undergo(
    trial: Trial,
    on_strike: Callable[[], None] = lambda: None,
) -> Ordeal:
    """Sell from a PostgreSQL server of its own, and strike *trial.times*.

    The next strike comes when sales have gone on after the one before. Raise `TicketsvcError` when
    they do not within a minute: that is an outcome, too, and no figure.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(own_server(EVENT))
        address = with_durability(server.url, trial.durable)
        keepers = [
            stack.enter_context(contextlib.closing(Keeper(address, trial.allocator)))
            for _ in range(trial.processes)
        ]
        async with contextlib.AsyncExitStack() as proxied:
            proxies = [
                await proxied.enter_async_context(cutting_proxy(keeper.url)) for keeper in keepers
            ]
            scene = Scene(server, keepers, proxies, trial.freeze_s)
            strikes, history = await _sell_and_strike(trial, scene, on_strike)
        restarts = sum(keeper.restarts for keeper in keepers)
        ledger = ledger_on(server, EVENT)
    return Ordeal(trial, strikes, history, ledger, judge(ledger, history), restarts)


async def _sell_and_strike(
    trial: Trial, scene: Scene, on_strike: Callable[[], None]
) -> tuple[list[Strike], list[Attempt]]:
    fault = FAULTS[trial.fault]
    ways = scene.proxies if trial.fault == "answer_cut" else scene.keepers
    sales = _Sales()
    workload = Workload(
        EVENT,
        purchases=10**9,
        concurrency=trial.buyers,
        timeout_s=trial.timeout_s,
        keys=trial.keys,
        retry_s=_RECOVERY_PATIENCE_S if trial.retry else 0.0,
        retry_unavailable=trial.retry,
    )
    strikes: list[Strike] = []
    done = False
    selling = asyncio.create_task(
        run_workload([way.url for way in ways], workload, on_answer=sales.note, enough=lambda: done)
    )
    try:
        await sales.reach(trial.between, selling)
        for _ in range(trial.times):
            strikes.append(await _strike(fault, scene, sales, selling))
            on_strike()
            await sales.reach(sales.many + trial.between, selling)
    finally:
        done = True
        history = await selling
    return strikes, history


async def _strike(
    fault: Fault, scene: Scene, sales: "_Sales", selling: "asyncio.Task[list[Attempt]]"
) -> Strike:
    # At any moment, not always just after an answer.
    await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311
    at_s = time.monotonic()
    await asyncio.to_thread(fault.strike, scene)
    over_s = time.monotonic()
    sales.since_s, sales.first_s = over_s, None
    await sales.first_since(selling)
    assert sales.first_s is not None  # noqa: S101 - for the type checker
    return Strike(at_s, over_s, sales.first_s)


class _Sales:
    """How many were sold, and when the first was of those asked for since a moment."""

    def __init__(self) -> None:
        self.many = 0
        self.since_s = float("inf")
        self.first_s: float | None = None

    def note(self, attempt: Attempt) -> None:
        if attempt.outcome != "ok":
            return
        self.many += 1
        if self.first_s is None and attempt.sent_s >= self.since_s:
            self.first_s = attempt.answered_s

    async def reach(self, many: int, selling: "asyncio.Task[list[Attempt]]") -> None:
        await self._until(lambda: self.many >= many, selling)

    async def first_since(self, selling: "asyncio.Task[list[Attempt]]") -> None:
        await self._until(lambda: self.first_s is not None, selling)

    async def _until(
        self, condition: Callable[[], bool], selling: "asyncio.Task[list[Attempt]]"
    ) -> None:
        deadline = time.monotonic() + _RECOVERY_PATIENCE_S
        while not condition():
            if selling.done() or time.monotonic() > deadline:
                raise TicketsvcError(f"no sale within {_RECOVERY_PATIENCE_S:.0f} s after a fault")
            await asyncio.sleep(_LOOK_S)


async def undergo_all(trials: Sequence[Trial]) -> list[Ordeal]:
    """Undergo one trial after the other."""
    return [await undergo(trial) for trial in trials]


def answers_over_time(ordeals: Sequence[Ordeal], bin_s: float = 0.1) -> pd.DataFrame:
    """Count what buyers were told, in bins of *bin_s* seconds from the first answer on.

    One row per fault and bin: fault, at_s, sold, unknown, later (told that nothing was sold for
    now, or could not be sent).
    """
    rows = []
    for ordeal in ordeals:
        start = min(one.answered_s for one in ordeal.history)
        last = max(one.answered_s for one in ordeal.history)
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        for one in ordeal.history:
            kind = {"ok": "sold", "unknown": "unknown"}.get(one.outcome, "later")
            counts[int((one.answered_s - start) / bin_s)][kind] += 1
        for place in range(int((last - start) / bin_s) + 1):
            told = counts[place]
            rows.append(
                {
                    "fault": ordeal.trial.fault,
                    "at_s": place * bin_s,
                    "sold": told["sold"],
                    "unknown": told["unknown"],
                    "later": told["later"],
                }
            )
    return pd.DataFrame(rows)


def strikes_over_time(ordeals: Sequence[Ordeal]) -> pd.DataFrame:
    """Return each strike's times in seconds from the first answer on.

    Columns: fault, at_s, over_s (what it broke can work again), sold_s (the first sale after).
    """
    return pd.DataFrame(
        [
            {
                "fault": ordeal.trial.fault,
                "at_s": strike.at_s - start,
                "over_s": strike.over_s - start,
                "sold_s": strike.sold_s - start,
            }
            for ordeal in ordeals
            for start in [min(one.answered_s for one in ordeal.history)]
            for strike in ordeal.strikes
        ]
    )
