"""Fault experiments, what they found, and their tables. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ticketsvc.allocators import DEFAULT_ALLOCATOR
from ticketsvc.errors import TicketsvcError
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt, by_purchase, outcome_of

SHOWN = [
    "fault",
    "injections",
    "purchases",
    "acknowledged",
    "retried",
    "unknown",
    "refused",
    "unresolved",
    "sold_twice",
    "lost",
    "oversold",
    "audit",
    "restarts",
    "recovery_s",
]
"""The columns that a reader is shown."""

_LOSSES = {
    "sold_twice": "sold twice",
    "lost": "lost",
    "unresolved": "never answered",
    "refused": "refused for good",
    "oversold": "oversold",
    "duplicates": "numbers issued twice",
}
"""The columns of a row that must be zero, in words."""

_JUDGED = ("acknowledged", "refused", "oversold", "audit", "restarts")
"""Of these, the ones that notebook 09 leaves to its verdict."""

_BIN_S = 0.02


class NotRecovered(TicketsvcError, code="not_recovered"):
    """The service did not sell again after a fault, or never began to."""


@dataclass(frozen=True)
class FaultExperiment:
    """Which fault to inject how often, and how the buyers behave.

    *times*: how many injections must interrupt a purchase. *between*: purchases sold from one
    injection to the next. *durable*: whether commits wait for their flush. *retry*: whether buyers
    try again when they got no answer; *keys*: with an idempotency key. *timeout_s*: how long a
    buyer waits for an answer; *freeze_s*: how long a freeze lasts. *allocators*: what the server
    *processes* sell with, in turn. *synchronous*: whether commits wait for the standby that takes
    over in a failover; when not, it lags.
    """

    fault: str
    times: int
    keys: bool = True
    retry: bool = True
    durable: bool = True
    allocators: tuple[str, ...] = (DEFAULT_ALLOCATOR,)
    buyers: int = 16
    processes: int = 2
    between: int = 100
    timeout_s: float = 0.7
    freeze_s: float = 1.0
    synchronous: bool = True


@dataclass(frozen=True)
class Injection:
    """One fault: when it was injected, when the broken part could work again, the first sale after.

    Times are of the system-wide monotonic clock; the sale was also asked for afterwards.
    *interrupted*: how many attempts had no sale because of it.
    """

    at_s: float
    restored_s: float
    first_sale_s: float
    interrupted: int

    @property
    def recovery_s(self) -> float:
        """From when the broken part could work again to the first sale."""
        return self.first_sale_s - self.restored_s


@dataclass(frozen=True)
class FaultResult:
    """One experiment: its injections, all answers, what the database holds, and the verdict.

    *restarts*: how often a server process was started again.
    """

    experiment: FaultExperiment
    injections: Sequence[Injection]
    history: Sequence[Attempt] = field(repr=False)
    ledger: EventLedger = field(repr=False)
    verdict: EventVerdict
    restarts: int = 0

    def row(self) -> dict[str, Any]:
        """Return one row of a table.

        Purchases by how they ended: *acknowledged*, *refused*, *unresolved* (never answered).
        *retried*: purchases with more than one attempt. *unknown*: attempts without an answer.
        *sold_twice*: purchases whose buyer holds more than was asked for. *lost*: acknowledged
        purchases whose buyer does not hold the tickets. Each purchase has its own buyer.
        """
        purchases = by_purchase(self.history)
        outcomes = Counter(map(outcome_of, purchases))
        held: dict[str, set[int]] = defaultdict(set)
        for issue in self.ledger.issues:
            held[issue.user].update(range(issue.first, issue.last + 1))
        acknowledged = [one for one in self.history if one.outcome == "ok"]
        return {
            "fault": self.experiment.fault,
            "allocators": ", ".join(self.experiment.allocators),
            "injections": len(self.injections),
            "keys": self.experiment.keys,
            "durable": self.experiment.durable,
            "synchronous": self.experiment.synchronous,
            "purchases": len(purchases),
            "acknowledged": outcomes["ok"],
            "unknown": sum(one.outcome == "unknown" for one in self.history),
            "retried": sum(len(tries) > 1 for tries in purchases),
            "refused": outcomes["refused"],
            "unresolved": outcomes["unknown"] + outcomes["failed"],
            "sold_twice": sum(len(held[tries[0].user]) > tries[0].quantity for tries in purchases),
            "lost": sum(not held[one.user].issuperset(one.tickets) for one in acknowledged),
            "oversold": self.verdict.oversold,
            "duplicates": self.verdict.duplicates,
            "audit": self.verdict.status,
            "restarts": self.restarts,
            "recovery_s": max((one.recovery_s for one in self.injections), default=None),
        }

    @property
    def nothing_lost(self) -> bool:
        """Whether every purchase was sold once and acknowledged, and the ledger is clean.

        No purchase may be refused for good, since the event cannot sell out.
        """
        return not losses(self.row())


def losses(row: Mapping[str, Any]) -> list[str]:
    """Return in words what a row says was lost, doubled or left open; else why it is not clean."""
    found = [
        words if row[name] is True else f"{row[name]:,} {words}"
        for name, words in _LOSSES.items()
        if row[name]
    ]
    return found or ([] if row["audit"] == "clean" else [f"audit: {row['audit']}"])


def fault_table(results: Sequence[FaultResult]) -> pd.DataFrame:
    """Return one row per result, as `FaultResult.row` returns it."""
    return pd.DataFrame([result.row() for result in results])


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the counts of a fault table turned by 90 degrees: one column per fault."""
    shown = [name for name in SHOWN if name not in _JUDGED]
    return rows.round(2).astype(object)[shown].set_index("fault").T


def answers_over_time(results: Sequence[FaultResult]) -> pd.DataFrame:
    """Count the answers in short bins of time, from the first answer on.

    One row per fault and bin: fault, at_s, sold, unknown, and later (told to try again later, or
    not connected).
    """
    rows = []
    for result in results:
        start = min(one.answered_s for one in result.history)
        last = max(one.answered_s for one in result.history)
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        for one in result.history:
            kind = {"ok": "sold", "unknown": "unknown"}.get(one.outcome, "later")
            counts[int((one.answered_s - start) / _BIN_S)][kind] += 1
        for place in range(int((last - start) / _BIN_S) + 1):
            rows.append(
                {
                    "fault": result.experiment.fault,
                    "at_s": place * _BIN_S,
                    **{kind: counts[place][kind] for kind in ("sold", "unknown", "later")},
                }
            )
    return pd.DataFrame(rows)


def injections_over_time(results: Sequence[FaultResult]) -> pd.DataFrame:
    """Return the times of each injection in seconds from the first answer on.

    Columns: fault, at_s, restored_s, first_sale_s.
    """
    return pd.DataFrame(
        [
            {
                "fault": result.experiment.fault,
                "at_s": injection.at_s - start,
                "restored_s": injection.restored_s - start,
                "first_sale_s": injection.first_sale_s - start,
            }
            for result in results
            for start in [min(one.answered_s for one in result.history)]
            for injection in result.injections
        ]
    )
