"""Try the fixes that people reach for on a scenario, and say which hold and why others do not.

Over 300 lines, because each reason why a fix does not hold is a sentence of its own.
"""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ticketsvc.lab.explore.causes import short_name
from ticketsvc.lab.explore.overlap import in_series, uses_transactions, why_nothing_isolates
from ticketsvc.lab.explore.rewriting import LOCKING, LOCKS, locking_reads, reads_of, refuses_lock
from ticketsvc.lab.explore.scenario import AS_IT_IS, ScenarioExploration
from ticketsvc.lab.explore.wire_scheduler import CONFLICTS, ScenarioRun, Ways
from ticketsvc.lab.scenarios.spec import Scenario
from ticketsvc.lab.wire.statements import shortened

Explore = Callable[[Ways, tuple[str, ...]], Awaitable[ScenarioExploration]]


SHOWN = ("fix", "holds", "schedules", "violating", "refused_needlessly", "errors", "waits")
"""What of a tried fix a table shows, besides why it holds or not."""

BARE = Ways(one_transaction=True)
"""A transaction around what a client sends, and nothing else."""


@dataclass(frozen=True)
class Candidate:
    """A fix to try: how clients act otherwise, or SQL that is run after the schema."""

    name: str
    ways: Ways = AS_IT_IS
    sql: tuple[str, ...] = ()


@dataclass(frozen=True)
class TriedFix:
    """What came of a candidate. Every count is of schedules.

    *needless*: fewer clients were served than one after the other would have been. *errors*: a
    client ended in an error of the database. *loses*: how many clients fewer are served even one
    after the other than without the fix.
    """

    candidate: Candidate
    found: ScenarioExploration
    needless: int
    errors: int
    loses: int
    why: str

    @property
    def holds(self) -> bool:
        """Whether no schedule, all covered, violates an invariant or sells less for no reason."""
        found = self.found
        return found.complete and not (found.violating or found.reasons or self.loses)

    @property
    def rank(self) -> tuple[object, ...]:
        """What holds first, then what breaks, turns away, fails and waits least."""
        found = self.found
        useless = self.loses > 0 or not found.succeeded
        counts = (found.violating, self.needless, self.errors, found.blocked)
        shares = [count / max(1, found.schedules) for count in counts]
        return (not self.holds, useless, bool(found.violating), *shares)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON and tables."""
        return {
            "fix": self.candidate.name,
            "holds": None if self.unseen else self.holds,
            "schedules": self.found.schedules,
            "complete": self.found.complete,
            "violating": self.found.violating,
            "refused_needlessly": self.needless,
            "errors": self.errors,
            "waits": self.found.blocked,
            "smallest": self.found.smallest.id if self.found.smallest else None,
            "why": self.why,
        }

    def shown(self) -> dict[str, str]:
        """Return the same for people; what a search that stopped has not counted is said."""
        found = self.found
        told = {
            name: f"{value:,}" if isinstance(value, int) else str(value)
            for name, value in self.as_dict().items()
        }
        told["holds"] = "yes" if self.holds else "could not tell" if self.unseen else "no"
        if found.stopped:
            told["violating"] = f"at least {told['violating']}"
            told["why"] += (
                f" (stopped at the first violation: at least {found.violating:,} of "
                f"{found.schedules:,} schedules tried)"
            )
        return told

    @property
    def unseen(self) -> bool:
        """Whether nothing can be told of it: no violation was seen, and not every schedule."""
        return bool(self.found.reasons) and not (self.found.complete or self.found.violating)

    @property
    def explored(self) -> bool:
        """Whether it was tried at all."""
        return bool(self.found.schedules or self.found.reasons)


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
    several = any(len(run.acts) > len({act.client for act in run.acts}) for run in as_it_is.runs)
    if several and not uses_transactions(as_it_is.runs):
        more = [one for one in found if one.ways.retry]
        more += [one for one in found if one.ways.lock_reads_of and _rewritten(one.ways, as_it_is)]
        found.append(Candidate("one transaction per client", BARE))
        found += [
            Candidate(
                f"one transaction per client, {one.name}", replace(one.ways, one_transaction=True)
            )
            for one in more
        ]
    return [Candidate(fix.name, sql=(fix.sql,)) for fix in scenario.fix] + found


def not_tried(tried: Iterable[TriedFix]) -> str:
    """Say in a sentence which candidates were not explored, and why; "" where all were."""
    names: dict[str, list[str]] = {}
    for one in tried:
        if not one.explored:
            names.setdefault(one.why, []).append(one.candidate.name)
    return " ".join(f"Not tried: {'; '.join(same)}. Why: {why}." for why, same in names.items())


async def try_fixes(
    scenario: Scenario,
    as_it_is: ScenarioExploration,
    explore: Explore,
    on_fix: Callable[[Candidate], object] = lambda _: None,
) -> list[TriedFix]:
    """Explore *scenario* with each candidate; return them ranked, the best first.

    What cannot differ from an exploration that is there already is not explored again, and what
    cannot help is not explored. *on_fix* is called with each candidate that is done.
    """
    useless = why_nothing_isolates(
        [*([as_it_is.smallest] if as_it_is.smallest else []), *as_it_is.runs]
    )
    before = _served_alone(run for run in as_it_is.runs if run.clean)
    done = {AS_IT_IS: as_it_is}

    async def tried(candidate: Candidate) -> TriedFix:
        same = None if candidate.sql else _equal_to(candidate.ways, done)
        reason = _locks_nothing(candidate.ways, as_it_is) if same == AS_IT_IS else ""
        if reason := reason or (useless if _isolates(candidate.ways) else ""):
            return TriedFix(candidate, ScenarioExploration(scenario), 0, 0, 0, reason)
        found = done.get(same) if same else None
        if found is None:
            found = await explore(candidate.ways, candidate.sql)
            if not candidate.sql:
                done[candidate.ways] = found
        one = _judge(candidate, found, before)
        if refused := _refusing(candidate.ways.lock_reads_of, [as_it_is, found]):
            return replace(one, why=f"{one.why}; without FOR UPDATE: {refused}")
        return one

    ranked = []
    for candidate in candidates(scenario, as_it_is):
        # Where clients cannot be made one transaction, they cannot with something else besides.
        if not candidate.ways.one_transaction or BARE not in done or done[BARE].schedules:
            ranked.append(await tried(candidate))
        on_fix(candidate)
    return sorted(ranked, key=lambda one: one.rank)


def _isolates(ways: Ways) -> bool:
    """Tell whether all that *ways* change is the isolation, or what is locked."""
    return bool(ways.isolation or ways.lock_reads_of) and not ways.one_transaction


def _locks_nothing(ways: Ways, as_it_is: ScenarioExploration) -> str:
    """Say why no statement of *as_it_is* is another one when its reads lock."""
    tables = [short_name(name) for name in sorted(ways.lock_reads_of) if not name.startswith("(")]
    none = f"none is a SELECT from {', '.join(tables) or 'what is written'} that does not lock yet"
    refused = _refusing(ways.lock_reads_of, [as_it_is])
    return f"there is no statement to add FOR UPDATE to: {refused or none}"


def _equal_to(ways: Ways, done: dict[Ways, ScenarioExploration]) -> Ways:
    """Return the ways in *done* that give the same schedules as *ways*, if there are such."""
    if ways.lock_reads_of and not _rewritten(ways, done[AS_IT_IS]):
        return AS_IT_IS
    plain = replace(ways, retry=False)
    if ways.retry and plain in done and not set(CONFLICTS) & set(done[plain].sqlstates):
        return plain
    return ways


def _rewritten(ways: Ways, as_it_is: ScenarioExploration) -> bool:
    """Tell whether a statement of *as_it_is* is another one when its reads lock."""
    rewrite = locking_reads(ways.lock_reads_of)
    return any(rewrite(act.text) != act.text for run in as_it_is.runs for act in run.acts)


def _refusing(relations: frozenset[str], explored: Sequence[ScenarioExploration]) -> str:
    """Name the reads of *relations* that PostgreSQL lets nobody lock, and why; "" for none."""
    if not relations:
        return ""
    is_read = reads_of(relations)
    texts = {act.text for found in explored for run in found.runs for act in run.acts}
    reads = [(text, refuses_lock(text)) for text in sorted(filter(is_read, texts))]
    told = [f"with {why}: {shortened(text)}" for text, why in reads if why]
    return f"PostgreSQL refuses FOR UPDATE {'; '.join(told)}" if told else ""


def _judge(candidate: Candidate, found: ScenarioExploration, before: int) -> TriedFix:
    alone = _served_alone(found.runs)
    needless = sum(run.represents for run in found.runs if _served(run) < max(alone, before))
    errors = sum(run.represents for run in found.runs if _fails(run))
    loses = 0 if found.stopped else max(0, before - alone)
    tried = TriedFix(candidate, found, needless, errors, loses, "")
    return replace(tried, why=why(tried))


def _served_alone(runs: Iterable[ScenarioRun]) -> int:
    """Return how many clients are served when they act one after the other, at the least."""
    return min(
        (_served(run) for run in runs if in_series(run, [step.session for step in run.steps])),
        default=0,
    )


def _served(run: ScenarioRun) -> int:
    """Return how many clients succeeded and, where anybody's changes can be seen, changed rows."""
    done = {index for index, result in enumerate(run.results) if result.ending == "success"}
    changes = [act for act in run.acts if act.changes]
    kept = {act.client for act in changes if act.committed is not None and act.rows != 0}
    return len(done & kept if changes else done)


def _fails(run: ScenarioRun) -> bool:
    """Tell whether a client ended in an error after a statement of its own had failed."""
    return any(step.error and run.results[step.session].ending == "failed" for step in run.steps)


def why(tried: TriedFix) -> str:
    """Say in a sentence why a candidate holds or does not."""
    candidate, found = tried.candidate, tried.found
    codes = ", ".join(sorted(found.sqlstates)) or "see the replay"
    if candidate.ways.lock_reads_of and "0A000" in found.sqlstates:
        steps = itertools.chain.from_iterable(run.steps for run in found.runs)
        text = next((step.text for step in steps if step.error == "0A000"), "its reads")
        return f"PostgreSQL refuses FOR UPDATE (0A000) on {shortened(text.removesuffix(LOCKING))}"
    if found.schedules and not found.succeeded:
        return f"no client succeeds in any schedule ({codes})"
    if found.smallest is not None:
        return _why_it_breaks(candidate, found, found.smallest)
    if found.reasons:
        return f"could not tell: {found.reasons[0]}"
    if tried.loses:
        return f"even one after the other, {tried.loses} fewer clients are served than without it"
    return _why_it_holds(tried, codes)


def _why_it_holds(tried: TriedFix, codes: str) -> str:
    ways, found = tried.candidate.ways, tried.found
    some = f"{tried.errors:,} of {found.schedules:,} schedules"
    if tried.errors and set(CONFLICTS) & set(found.sqlstates):
        again = "even after trying again" if ways.retry else "and has to try again"
        return f"never wrong, but in {some} a client is told of an error ({codes}) {again}"
    if tried.errors:
        return f"never wrong; in {some} a client is told of an error ({codes})"
    if tried.needless:
        some = f"{tried.needless:,} of {found.schedules:,} schedules"
        return f"never wrong, but in {some} fewer clients are served than one after the other"
    if found.retries and ways.retry:
        return f"holds; in {found.retries:,} of {found.schedules:,} schedules a client tries again"
    return "holds in every schedule"


def _why_it_breaks(candidate: Candidate, found: ScenarioExploration, run: ScenarioRun) -> str:
    ways, tables = candidate.ways, candidate.ways.lock_reads_of
    cause = run.cause.sentence if run.cause else "unexplained"
    if any(one.serial for one in found.runs if one.violated):
        return "violated even when the clients act one after the other: no order helps"
    if tables and _ends_between(run, locking=True):
        return (
            "the read and the write are two transactions: the lock is given back before the write "
            "(a lock in autocommit protects nothing)"
        )
    if ways.isolation and _ends_between(run, locking=False):
        return (
            "the read and the write are two transactions: the level protects each, not what the "
            "client decides between them"
        )
    name = run.cause.name if run.cause else ""
    if tables and name == "phantom":
        return "FOR UPDATE locks no row that is not there: the rival's was inserted later"
    if ways.isolation == "repeatable read" and name in ("phantom", "write skew"):
        return "each keeps to its own snapshot; they write different rows, so nothing conflicts"
    alone = "a transaction alone locks nothing that it only reads; " if ways == BARE else ""
    return f"{alone}{cause}"


def _ends_between(run: ScenarioRun, *, locking: bool) -> bool:
    """Tell whether a client read what is changed, ended that transaction, and then changed it."""
    return any(
        read.client == act.client
        and read.place < act.place
        and read.reads & act.changes
        and (LOCKS.search(read.text) or not locking)
        and read.committed is not None
        and read.committed < act.place
        for read in run.acts
        for act in run.acts
    )
