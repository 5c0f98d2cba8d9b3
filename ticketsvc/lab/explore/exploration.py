"""Explore a case: every schedule, one of each class, or a sample; and count what came of them."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticketsvc.allocators import ALLOCATORS, Allocator
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.confidence import upper_bound
from ticketsvc.lab.explore.cases import Case, NotRepeatable
from ticketsvc.lab.explore.scheduler import Stage, open_stage
from ticketsvc.lab.explore.schedules import Run
from ticketsvc.lab.explore.strategies import Exhaustive, Fixed, Reduced, Sampled, Strategy

CONFIDENCE = 0.95
DEFAULT_LIMIT = 250_000


@dataclass
class Exploration:
    """What came of the schedules of a case. Every count is of schedules.

    *classes*: how many were executed, each standing for itself and its equals. *selling*:
    somebody was sold tickets. *clean*: no violation. *refused*: a buyer was turned away,
    *turned_away*: with enough tickets left. *blocked*: a step waited for a lock. *retries*: a
    purchase was begun anew. *torn*: a crash between two steps would leave a ledger that is not
    clean (known when runs tell).
    *complete*: all there are were accounted for.
    """

    case: Case
    schedules: int = 0
    classes: int = 0
    selling: int = 0
    clean: int = 0
    oversold: int = 0
    duplicate: int = 0
    other: int = 0
    refused: int = 0
    turned_away: int = 0
    blocked: int = 0
    retries: int = 0
    torn: int = 0
    sqlstates: Counter[str] = field(default_factory=Counter)
    complete: bool = False
    sampled: bool = False
    overtaken: int = 0
    seconds: float = 0.0
    examples: dict[str, str] = field(default_factory=dict)
    """Of each kind of outcome, the id of the first schedule that had it."""

    runs: list[Run] = field(default_factory=list, repr=False)

    @property
    def violating(self) -> int:
        """Count the schedules that broke the invariant."""
        return self.schedules - self.clean

    @property
    def bound(self) -> float:
        """Bound the fraction of violating schedules from above.

        Exact when all are accounted for; Clopper and Pearson's bound (95 %) when they were
        drawn at random; else 1: of the rest nothing is known.
        """
        if not self.schedules:
            return 1.0
        if self.complete:
            return self.violating / self.schedules
        if not self.sampled or not self.clean:
            return 1.0
        return upper_bound(self.violating, self.violating + self.clean, CONFIDENCE)

    def count(self, run: Run) -> None:
        """Add *run*, for all the schedules that it stands for."""
        kinds = {violation.kind for violation in run.verdict.violations}
        times = run.stands_for
        self.examples.setdefault(run.kind, run.id)
        self.classes += 1
        self.schedules += times
        self.selling += times * any(answer.sold for answer in run.answers)
        self.clean += times * run.verdict.clean
        self.oversold += times * run.verdict.oversold
        self.duplicate += times * ("duplicate" in kinds)
        self.other += times * bool(kinds and not run.verdict.oversold and "duplicate" not in kinds)
        self.refused += times * run.refused
        self.turned_away += times * run.turned_away
        self.blocked += times * run.blocked
        self.retries += times * bool(run.retries)
        self.torn += times * run.torn
        for sqlstate in {event.error for event in run.events if event.error}:
            self.sqlstates[sqlstate] += times

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON; rates are per second."""
        case = self.case
        return {
            "allocator": case.allocator,
            "schema": case.schema,
            "buyers": case.buyers,
            "total": case.total,
            "quantity": case.quantity,
            "together": case.together,
            "hold_commits": case.hold_commits,
            "schedules": self.schedules,
            "classes": self.classes,
            "selling": self.selling,
            "clean": self.clean,
            "oversold": self.oversold,
            "duplicate": self.duplicate,
            "other_violations": self.other,
            "refused": self.refused,
            "turned_away": self.turned_away,
            "blocked": self.blocked,
            "retries": self.retries,
            "sqlstates": dict(sorted(self.sqlstates.items())),
            "complete": self.complete,
            "bound": self.bound,
            "per_second": round(self.schedules / self.seconds, 1) if self.seconds else None,
            "executed_per_second": round(self.classes / self.seconds, 1) if self.seconds else None,
        }


async def explore(
    url: str,
    case: Case,
    *,
    full: bool = False,
    sample: int = 0,
    seed: int = 1,
    limit: int = DEFAULT_LIMIT,
    keep: bool = False,
    tell: bool = False,
    allocator: type[Allocator] | None = None,
    changes: Sequence[str] = (),
    on_run: Callable[[Run], object] = lambda _: None,
) -> Exploration:
    """Explore *case* in a scratch database beside *url*.

    One schedule of each class; with *full* every one, with *sample* so many drawn by *seed*.
    At most *limit* are executed. *keep*: keep the runs; *tell*: with the ledger after each
    step. *allocator* and *changes* (DDL) replace what the case names, for mutations.

    Raise `NotRepeatable` when the same steps do not lead to the same place.
    """
    seller = allocator or ALLOCATORS[case.allocator]
    ddl = [*_relied_upon(seller.mechanism, case.schema), *changes]
    found = Exploration(case, sampled=sample > 0)
    with scratch_database(url, "explore", ddl) as scratch:
        async with open_stage(scratch, case, seller) as stage:
            strategy = await _strategy(stage, full=full, sample=sample, seed=seed)
            began = time.perf_counter()
            while not strategy.finished and found.classes < limit:
                run = await stage.play(strategy, tell=tell)
                if run is None:
                    continue
                if isinstance(strategy, Reduced):
                    _require_sound(run)
                found.count(run)
                on_run(run)
                if keep:
                    found.runs.append(run)
            found.seconds = time.perf_counter() - began
            found.complete = strategy.finished and strategy.exhaustive
            found.overtaken = stage.overtaken
    return found


async def replay(
    url: str,
    case: Case,
    choices: Sequence[int],
    *,
    allocator: type[Allocator] | None = None,
    changes: Sequence[str] = (),
) -> Run | None:
    """Play one schedule of *case* again, with the ledger after each step; None: there is none."""
    seller = allocator or ALLOCATORS[case.allocator]
    ddl = [*_relied_upon(seller.mechanism, case.schema), *changes]
    with scratch_database(url, "explore", ddl) as scratch:
        async with open_stage(scratch, case, seller) as stage:
            strategy = Fixed(choices)
            run = await stage.play(strategy, tell=True)
            return run if strategy.followed else None


def _relied_upon(mechanism: Mechanism, schema: str) -> list[str]:
    """Return the DDL that *mechanism* needs beyond *schema*."""
    return [mechanism.constraint.replace("{schema}", schema)] if mechanism.constraint else []


async def _strategy(stage: Stage, *, full: bool, sample: int, seed: int) -> Strategy:
    if sample:
        serial = await stage.play(Exhaustive())
        alone = serial.choices.count(0) if serial else 1
        return Sampled(sample, seed, [alone] * stage.case.buyers)
    return Exhaustive() if full else Reduced()


def _require_sound(run: Run) -> None:
    """Refuse to reduce where a step failed that should have minded nobody's doing."""
    for event in run.events:
        if event.error and not (event.effect.sees or event.effect.locks):
            raise NotRepeatable(
                f"schedule {run.id}: {event.name} failed with {event.error} though it looks at "
                "nothing that others change: explore this one in full"
            )
