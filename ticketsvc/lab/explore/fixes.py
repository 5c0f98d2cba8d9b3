"""Try the fixes that people reach for on a scenario, and say which hold and why others do not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ticketsvc.lab.explore.causes import Act
from ticketsvc.lab.explore.scenario import AS_IT_IS, ScenarioExploration
from ticketsvc.lab.explore.wire_scheduler import CONFLICTS, ScenarioRun, Ways
from ticketsvc.lab.scenarios.spec import Scenario

Explore = Callable[[Ways, tuple[str, ...]], Awaitable[ScenarioExploration]]


@dataclass(frozen=True)
class Candidate:
    """A fix to try: how clients act otherwise, or SQL that is run after the schema."""

    name: str
    ways: Ways = AS_IT_IS
    sql: tuple[str, ...] = ()


@dataclass(frozen=True)
class TriedFix:
    """What came of a candidate. Every count is of schedules.

    *needless*: fewer clients succeeded than one after the other would have. *errors*: a client
    ended in an error that a user would see.
    """

    candidate: Candidate
    found: ScenarioExploration
    needless: int
    errors: int
    why: str

    @property
    def holds(self) -> bool:
        """Whether every schedule was covered and none violates an invariant."""
        return self.found.complete and not self.found.violating and not self.found.reasons

    @property
    def rank(self) -> tuple[object, ...]:
        """What holds first, then what turns fewer away, fails less and waits less."""
        found = self.found
        shares = [part / max(1, found.schedules) for part in (self.needless, self.errors)]
        return (
            not self.holds,
            bool(found.violating),
            *shares,
            found.blocked / max(1, found.schedules),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON and tables."""
        return {
            "fix": self.candidate.name,
            "holds": self.holds,
            "schedules": self.found.schedules,
            "violating": self.found.violating,
            "turned_away_needlessly": self.needless,
            "errors": self.errors,
            "waits": self.found.blocked,
            "smallest": self.found.smallest.id if self.found.smallest else None,
            "why": self.why,
        }


def candidates(scenario: Scenario, as_it_is: ScenarioExploration) -> list[Candidate]:
    """Return the fixes to try on *scenario*; *as_it_is* tells what is written after being read."""
    changed = frozenset().union(*(act.changes for run in as_it_is.runs for act in run.acts))
    found = [
        Candidate("REPEATABLE READ", Ways(isolation="repeatable read")),
        Candidate("REPEATABLE READ, with retry", Ways(isolation="repeatable read", retry=True)),
        Candidate("SERIALIZABLE", Ways(isolation="serializable")),
        Candidate("SERIALIZABLE, with retry", Ways(isolation="serializable", retry=True)),
        Candidate("FOR UPDATE on the reads", Ways(lock_reads_of=changed)),
        Candidate("advisory lock around the client", Ways(advisory_lock=True)),
    ]
    return found + [Candidate(fix.name, sql=(fix.sql,)) for fix in scenario.fix]


async def try_fixes(
    scenario: Scenario,
    as_it_is: ScenarioExploration,
    explore: Explore,
    on_fix: Callable[[Candidate], object] = lambda _: None,
) -> list[TriedFix]:
    """Explore *scenario* with each candidate; return them ranked, the best first."""
    tried = []
    for candidate in candidates(scenario, as_it_is):
        on_fix(candidate)
        found = await explore(candidate.ways, candidate.sql)
        alone = serial_successes(found)
        needless = sum(run.represents for run in found.runs if _successes(run) < alone)
        errors = sum(
            run.represents
            for run in found.runs
            if any(result.ending == "failed" for result in run.results)
            and any(step.error for step in run.steps)
        )
        tried.append(TriedFix(candidate, found, needless, errors, why(candidate, found, errors)))
    return sorted(tried, key=lambda one: one.rank)


def serial_successes(found: ScenarioExploration) -> int:
    """Return how many clients succeed when they act one after the other, at the least."""
    serial = [_successes(run) for run in found.runs if _is_serial(run)]
    return min(serial, default=0)


def _successes(run: ScenarioRun) -> int:
    return sum(result.ending == "success" for result in run.results)


def _is_serial(run: ScenarioRun) -> bool:
    switches = sum(a != b for a, b in zip(run.choices, run.choices[1:], strict=False))
    return switches == len(set(run.choices)) - 1


def why(candidate: Candidate, found: ScenarioExploration, errors: int) -> str:
    """Say in a sentence why a candidate holds or does not."""
    if found.reasons and not found.violating:
        return f"could not tell: {found.reasons[0]}"
    refused = sorted(code for code in found.sqlstates if code in ("0A000", "42803"))
    if found.smallest is not None:
        return _why_it_breaks(candidate, found.smallest)
    if refused:
        return "PostgreSQL refuses FOR UPDATE with aggregates, DISTINCT, GROUP BY or UNION"
    conflicts = sorted(code for code in found.sqlstates if code in CONFLICTS)
    if errors and conflicts and not candidate.ways.retry:
        return (
            f"never wrong, but {errors:,} of {found.schedules:,} schedules end in an error "
            f"({', '.join(conflicts)}) that the client must answer by trying again"
        )
    if errors:
        codes = ", ".join(sorted(found.sqlstates)) or "see the replay"
        return f"holds; {errors:,} of {found.schedules:,} schedules end in an error ({codes})"
    return "holds in every schedule"


def _why_it_breaks(candidate: Candidate, run: ScenarioRun) -> str:
    alone = _each_commits_alone(run.acts)
    if candidate.ways.lock_reads_of:
        if alone:
            return "each statement commits by itself: the lock is given back before the write"
        if any(act.reads and act.row is None and act.rows == 0 for act in run.acts):
            return "FOR UPDATE locks no row that is not there: the read found none"
        return "the rows that decide are not those that the read locks"
    if candidate.ways.isolation and alone:
        return (
            "each statement is a transaction of its own: the level protects one statement, "
            "not what the client decides between two"
        )
    if candidate.ways.isolation == "repeatable read":
        return "each keeps to its own snapshot; they write different rows, so nothing conflicts"
    return run.cause.sentence if run.cause else "unexplained"


def _each_commits_alone(acts: tuple[Act, ...]) -> bool:
    """Tell whether a client's read and its later change were separate transactions."""
    return any(
        read.client == act.client
        and read.place < act.place
        and act.changes
        and read.committed is not None
        and read.committed < act.place
        for read in acts
        for act in acts
    )
