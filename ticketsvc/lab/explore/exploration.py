"""The outcomes of a case's schedules, counted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ticketsvc.lab.confidence import upper_bound
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.schedules import Run, ScheduleRun

CONFIDENCE = 0.95
_LISTED_IDS = 5


@dataclass(kw_only=True)
class Counts:
    """The outcomes of schedules. Every count but *classes* is of schedules.

    *classes*: how many were executed; each represents all that differ from it only in the order
    of independent steps, or, where buyers were taken to be alike, in which buyer is which.
    *clean*: no violation. *succeeded*: a session got what it wanted. *refused*: one did not.
    *blocked*: a step waited for a lock. *retries*: a session went on after a step that failed.
    *violations*: by their names. *complete*: every schedule is covered.
    """

    schedules: int = 0
    classes: int = 0
    clean: int = 0
    succeeded: int = 0
    refused: int = 0
    blocked: int = 0
    retries: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    sqlstates: Counter[str] = field(default_factory=Counter)
    complete: bool = False
    sampled: bool = False
    seconds: float = 0.0

    @property
    def violating(self) -> int:
        """Count the schedules that violate an invariant."""
        return self.schedules - self.clean

    def add(
        self, run: Run, *, clean: bool, succeeded: bool, refused: bool, violated: Iterable[str]
    ) -> None:
        """Add *run*, for all the schedules that it represents."""
        times = run.represents
        self.classes += 1
        self.schedules += times
        self.clean += times * clean
        self.succeeded += times * succeeded
        self.refused += times * refused
        self.blocked += times * run.blocked
        self.retries += times * bool(run.retries)
        for name in violated:
            self.violations[name] += times
        for sqlstate in {step.error for step in run.steps if step.error}:
            self.sqlstates[sqlstate] += times

    def counted(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        names = ("schedules", "classes", "clean", "violating", "refused", "blocked", "retries")
        return {
            **{name: getattr(self, name) for name in names},
            "complete": self.complete,
            "violations": dict(self.violations),
            "sqlstates": dict(sorted(self.sqlstates.items())),
            "executed_per_second": round(self.classes / self.seconds, 1) if self.seconds else None,
        }


@dataclass
class Exploration(Counts):
    """The outcomes of a case's schedules.

    *refused_with_stock*: a buyer was refused although enough tickets were left.
    *crash_inconsistent*: a crash between two steps would leave an inconsistent ledger (known with
    snapshots only).
    """

    case: Case
    refused_with_stock: int = 0
    crash_inconsistent: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """The schedules of each `ScheduleRun.kind`."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    """For each kind of outcome, the ids of some schedules that had it.

    First one that is not serial, and in which a step waited if there is such a one.
    """

    runs: list[ScheduleRun] = field(default_factory=list, repr=False)
    _telling: dict[str, int] = field(default_factory=dict, repr=False)

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
        times = run.represents
        self.add(
            run,
            clean=run.verdict.clean,
            succeeded=any(answer.sold for answer in run.answers),
            refused=run.refused,
            violated=sorted({violation.kind for violation in run.verdict.violations}),
        )
        self._list(run)
        self.kinds[run.kind] += times
        self.refused_with_stock += times * run.refused_with_stock
        self.crash_inconsistent += times * run.crash_inconsistent

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
        return {
            **asdict(self.case),
            **self.counted(),
            "selling": self.succeeded,
            "refused_with_stock": self.refused_with_stock,
            "bound": self.bound,
            "examples": self.examples,
            "ids": self.ids,
        }
