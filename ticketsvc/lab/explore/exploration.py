"""The outcomes of a case's schedules, counted."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ticketsvc.lab.confidence import upper_bound
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.schedules import ScheduleRun

CONFIDENCE = 0.95
_LISTED_IDS = 5


@dataclass
class Exploration:
    """The outcomes of a case's schedules. Every count but *classes* is of schedules.

    *classes*: how many were executed; each represents all that differ from it only in the order
    of independent steps, or, where buyers were taken to be alike, in which buyer is which.
    *selling*: a buyer got tickets. *clean*: no violation. *refused*: a buyer was refused;
    *refused_with_stock*: although enough tickets were left. *blocked*: a step waited for a lock.
    *retries*: a purchase was tried again. *crash_inconsistent*: a crash between two steps would
    leave an inconsistent ledger (known with snapshots only).
    *complete*: every schedule is covered.
    """

    case: Case
    schedules: int = 0
    classes: int = 0
    selling: int = 0
    clean: int = 0
    oversold: int = 0
    duplicate: int = 0
    refused: int = 0
    refused_with_stock: int = 0
    blocked: int = 0
    retries: int = 0
    crash_inconsistent: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """The schedules of each `ScheduleRun.kind`."""

    violations: Counter[str] = field(default_factory=Counter)
    """The schedules with each kind of violation."""

    sqlstates: Counter[str] = field(default_factory=Counter)
    complete: bool = False
    sampled: bool = False
    seconds: float = 0.0
    ids: dict[str, list[str]] = field(default_factory=dict)
    """For each kind of outcome, the ids of some schedules that had it.

    First one that is not serial, and in which a step waited if there is such a one.
    """

    runs: list[ScheduleRun] = field(default_factory=list, repr=False)
    _telling: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def violating(self) -> int:
        """Count the schedules that violate the invariant."""
        return self.schedules - self.clean

    @property
    def bound(self) -> float:
        """Return the largest fraction of violating schedules that fits what was seen.

        Exact when every schedule is covered; Clopper and Pearson's bound (95 %) when they were
        drawn at random; else 1, because nothing is known of the rest.
        """
        if not self.schedules:
            return 1.0
        if self.complete:
            return self.violating / self.schedules
        if not self.sampled or not self.clean:
            return 1.0
        return upper_bound(self.violating, self.violating + self.clean, CONFIDENCE)

    @property
    def examples(self) -> dict[str, str]:
        """Return one id for each kind of outcome."""
        return {kind: ids[0] for kind, ids in self.ids.items()}

    def count(self, run: ScheduleRun) -> None:
        """Add *run*, for all the schedules that it represents."""
        kinds = {violation.kind for violation in run.verdict.violations}
        times = run.represents
        self._list(run)
        self.kinds[run.kind] += times
        self.classes += 1
        self.schedules += times
        self.selling += times * any(answer.sold for answer in run.answers)
        self.clean += times * run.verdict.clean
        self.oversold += times * run.verdict.oversold
        self.duplicate += times * ("duplicate" in kinds)
        self.refused += times * run.refused
        self.refused_with_stock += times * run.refused_with_stock
        self.blocked += times * run.blocked
        self.retries += times * bool(run.retries)
        self.crash_inconsistent += times * run.crash_inconsistent
        for kind in sorted(kinds):
            self.violations[kind] += times
        for sqlstate in {step.error for step in run.steps if step.error}:
            self.sqlstates[sqlstate] += times

    def _list(self, run: ScheduleRun) -> None:
        """Keep the id: the one that shows most comes first, the others as they were found."""
        ids = self.ids.setdefault(run.kind, [])
        shows = 0 if run.serial else 2 if run.blocked else 1
        if shows > self._telling.get(run.kind, -1):
            self._telling[run.kind] = shows
            ids.insert(0, run.id)
        else:
            ids.append(run.id)
        del ids[_LISTED_IDS:]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        counted = (
            "schedules classes clean violating selling refused refused_with_stock blocked retries "
            "complete bound examples ids"
        )
        return {
            **asdict(self.case),
            **{name: getattr(self, name) for name in counted.split()},
            "violations": dict(sorted(self.violations.items())),
            "sqlstates": dict(sorted(self.sqlstates.items())),
            "executed_per_second": round(self.classes / self.seconds, 1) if self.seconds else None,
        }
