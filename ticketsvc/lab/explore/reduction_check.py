"""Check that the reduction loses nothing: explore cases both reduced and in full."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.explore.exploration import Exploration
from ticketsvc.lab.explore.explorer import open_explorer
from ticketsvc.lab.explore.mechanism_matrix import matrix_case
from ticketsvc.lab.explore.orders import orderings
from ticketsvc.lab.explore.schedules import ScheduleRun
from ticketsvc.lab.explore.transcripts import Transcript, transcript_of

_FEW = 100  # schedules that a reader still looks at one by one
# Few enough to run every schedule of `naive`, which runs one statement per ticket.
_TICKETS_OF_NAIVE = 2


@dataclass(frozen=True)
class BothWays:
    """A case explored reduced and, where schedules are few, in full; with snapshots."""

    reduced: Exploration
    full: Exploration | None

    @property
    def runs(self) -> list[ScheduleRun]:
        """Return the run of every schedule, or else of one of each class."""
        return (self.full or self.reduced).runs

    @property
    def transcripts(self) -> list[Transcript]:
        """Return what is shown of each of `runs`."""
        return [*map(transcript_of, self.runs)]


def in_classes(both: BothWays) -> pd.DataFrame:
    """Return every schedule of a case that was explored in full, with its class.

    Columns: class (counted from 1, by its size), steps (pairs: session and statement), executed
    (whether the reduced exploration ran it), clean. The serial ones of a size come first.
    """
    assert both.full is not None  # noqa: S101 - for the type checker
    classes: dict[object, list[ScheduleRun]] = {}
    for run in both.full.runs:
        classes.setdefault(_required_order(run), []).append(run)
    executed = {run.choices for run in both.reduced.runs}
    by_size = sorted(classes.values(), key=len)
    return pd.DataFrame(
        [
            {
                "class": number,
                "steps": [(step.session, step.name) for step in run.steps],
                "executed": run.choices in executed,
                "clean": run.verdict.clean,
            }
            for number, runs in enumerate(by_size, start=1)
            for run in runs
        ]
    )


def _required_order(run: ScheduleRun) -> object:
    """Return, for each step, those that must come before it: the same for all of a class."""
    done = [0] * len(run.names)
    steps = []
    for step in run.steps:
        steps.append((step.session, done[step.session]))
        done[step.session] += 1
    return frozenset(
        (step, frozenset(other for place, other in enumerate(steps) if mask >> place & 1))
        for step, mask in zip(steps, orderings(run.steps), strict=True)
    )


async def explore_both_ways(
    url: str, *, buyers: int, total: int, quantity: int
) -> dict[str, BothWays]:
    """Explore every allocator reduced, and in full if it has a hundred schedules at most.

    `naive` has too many; it is explored again with two tickets a purchase.
    """
    cases = {name: matrix_case(name, buyers, total, quantity) for name in ALLOCATORS}
    few = _TICKETS_OF_NAIVE
    cases[f"naive, {few} tickets each"] = matrix_case("naive", buyers, few, few)
    found = {}
    async with open_explorer(url) as explorer:
        with counted("allocators", len(cases)) as count:
            for name, case in cases.items():
                reduced = await explorer.explore(case, keep=True, snapshots=True)
                full = None
                if reduced.schedules <= _FEW:
                    full = await explorer.explore(case, full=True, keep=True, snapshots=True)
                found[name] = BothWays(reduced, full)
                count()
    return found


def compared(both: Mapping[str, BothWays]) -> pd.DataFrame:
    """Compare what was found both ways: one row per case that was explored in full.

    An outcome is everything that buyers were answered and that is in the ledger, who waited and
    who retried; it is counted with the number of schedules that end in it. Columns: mechanism,
    classes, schedules, in_full (executed one by one), outcomes, same.
    """
    return pd.DataFrame(
        [
            {
                "mechanism": name,
                "classes": one.reduced.classes,
                "schedules": one.reduced.schedules,
                "in_full": one.full.classes,
                "outcomes": len(outcomes(one.full)),
                "same": outcomes(one.reduced) == outcomes(one.full),
            }
            for name, one in both.items()
            if one.full
        ]
    )


def outcomes(found: Exploration) -> dict[tuple[object, ...], int]:
    """Return the number of schedules of each outcome; the runs must have been kept."""
    counts = Counter[tuple[object, ...]]()
    for run in found.runs:
        counts[run.outcome] += run.represents
    return counts
