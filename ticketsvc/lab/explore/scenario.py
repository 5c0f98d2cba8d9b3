"""Explore a scenario: every schedule of its clients, one of each class, or a sample; and count."""

import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ticketsvc.errors import UsageError
from ticketsvc.lab.explore.exploration import Counts
from ticketsvc.lab.explore.lock_watch import CouldNotTell
from ticketsvc.lab.explore.rewriting import locking_reads
from ticketsvc.lab.explore.scenario_transcripts import in_words
from ticketsvc.lab.explore.strategies import Fixed, Reduced, choose_strategy
from ticketsvc.lab.explore.wire_footprints import WireFootprints
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun, Ways, WireScheduler
from ticketsvc.lab.explore.wire_turns import WireTurns
from ticketsvc.lab.scenarios.clients import Ending, actors_of, open_runner
from ticketsvc.lab.scenarios.filling import database_words
from ticketsvc.lab.scenarios.sandbox import open_sandbox
from ticketsvc.lab.scenarios.spec import Scenario

DEFAULT_LIMIT = 20_000
AS_IT_IS = Ways()


@dataclass
class ScenarioExploration(Counts):
    """The outcomes of a scenario's schedules; *reasons*: why nothing can be told."""

    scenario: Scenario
    endings: defaultdict[str, set[Ending]] = field(default_factory=lambda: defaultdict(set))
    """How clients ended, by what the scenario calls them."""
    complaints: dict[str, str] = field(default_factory=dict)
    """What the first of them that did not succeed was told."""
    stopped: bool = False
    """Whether it ended at its first violation, as it was told to."""
    reasons: list[str] = field(default_factory=list)
    smallest: ScenarioRun | None = None
    """The violating schedule with the fewest steps and switches."""
    runs: list[ScenarioRun] = field(default_factory=list, repr=False)
    _shown: dict[str, ScenarioRun] = field(default_factory=dict, repr=False)
    """The smallest schedule that violates each invariant, and the first clean one."""

    @property
    def examples(self) -> dict[str, str]:
        """Return the id of a schedule for each violated invariant, and of a clean one."""
        return {name: run.id for name, run in self._shown.items()}

    def count(self, run: ScenarioRun) -> None:
        """Add *run*, for all the schedules that it stands for."""
        endings = {result.ending for result in run.results}
        self.add(
            run,
            clean=run.clean,
            succeeded="success" in endings,
            refused=endings != {"success"},
            violated=[one.name for one in run.violated],
        )
        for actor, result in zip(actors_of(self.scenario), run.results, strict=True):
            self.endings[actor.client.name].add(result.ending)
            if result.ending != "success":
                said = f"{actor.name} was told: {result.message or 'nothing'}"
                self.complaints.setdefault(actor.client.name, said)
        for violated in run.violated:
            before = self._shown.get(violated.name, run)
            self._shown[violated.name] = min(before, run, key=_size)
        if run.clean:
            self._shown.setdefault("clean", run)
        else:
            self.smallest = min(self.smallest or run, run, key=_size)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return {**self.counted(), "examples": self.examples, "reasons": self.reasons}


def _size(run: ScenarioRun) -> tuple[int, int]:
    return len(run.steps), run.switches


async def explore_scenario(
    conninfo: str,
    scenario: Scenario,
    *,
    full: bool = False,
    sample: int = 0,
    seed: int = 1,
    limit: int = DEFAULT_LIMIT,
    hold_commits: bool = True,
    fixes: Sequence[str] = (),
    ways: Ways = AS_IT_IS,
    keep: bool = False,
    stop_at_violation: bool = False,
    on_run: Callable[[ScenarioRun], object] = lambda _: None,
) -> ScenarioExploration:
    """Explore *scenario* in a scratch database beside *conninfo*.

    One schedule of each class; with *full* every one, with *sample* so many drawn by *seed*; at
    most *limit* are executed. *hold_commits*: a statement that commits by itself is two steps.
    *fixes*: SQL that is run after the schema. What could not be seen becomes one of the reasons.
    """
    found = ScenarioExploration(scenario, sampled=sample > 0)
    acted: set[int] = set()
    async with open_scheduler(
        conninfo, scenario, hold_commits=hold_commits, fixes=fixes, ways=ways
    ) as scheduler:
        began = time.perf_counter()
        try:
            strategy = await choose_strategy(
                scheduler.run, len(actors_of(scenario)), full=full, sample=sample, seed=seed
            )
            assumed = scheduler.turns.footprints.assumed
            while not strategy.finished and found.classes < limit:
                run = await scheduler.run(strategy)
                if isinstance(strategy, Reduced) and scheduler.turns.footprints.assumed != assumed:
                    # Steps that were taken for independent are not: nothing counts so far.
                    found = ScenarioExploration(scenario)
                    strategy, assumed = Reduced(), scheduler.turns.footprints.assumed
                elif run is not None:
                    acted |= set(run.choices)
                    found.count(run)
                    on_run(run)
                    if keep:
                        found.runs.append(run)
                    if stop_at_violation and found.violating:
                        found.stopped = True
                        break
            found.complete = strategy.finished and strategy.exhaustive
            await scheduler.end()
        except CouldNotTell as problem:
            found.reasons.append(str(problem))
        except psycopg.OperationalError as problem:
            found.reasons.append(f"the server cannot be asked: {str(problem).splitlines()[0]}")
        found.seconds = time.perf_counter() - began
    idle = [actor.name for place, actor in enumerate(actors_of(scenario)) if place not in acted]
    if found.complete and idle:
        found.reasons.append(
            f"no statement of {', '.join(idle)} came through the proxy: does it connect to "
            "{database_url}?"
        )
    if found.stopped:
        return found
    if not found.complete and not found.sampled and not found.reasons:
        found.reasons.append(
            f"the search stopped at its limit of {limit:,}"
            if strategy.exhaustive
            else "steps depend on each other in a way that is not known: explore with --full"
        )
    if found.schedules and not found.succeeded:
        found.reasons.append(
            "no client succeeded in any schedule: that shows nothing; "
            + next(iter(found.complaints.values()))
        )
    elif failing := sorted(name for name, ends in found.endings.items() if ends == {"failed"}):
        told = found.complaints[failing[0]]
        found.reasons.append(f"{failing[0]} failed in every schedule: {told}")
    return found


async def replay_scenario(
    conninfo: str, scenario: Scenario, choices: Sequence[int], *, hold_commits: bool = True
) -> ScenarioRun | None:
    """Run one schedule again; return None when there is no such schedule."""
    async with open_scheduler(conninfo, scenario, hold_commits=hold_commits) as scheduler:
        strategy = Fixed(choices)
        run = await scheduler.run(strategy)
        return run if strategy.followed else None


@contextlib.asynccontextmanager
async def open_scheduler(
    conninfo: str,
    scenario: Scenario,
    *,
    hold_commits: bool,
    fixes: Sequence[str] = (),
    ways: Ways = AS_IT_IS,
) -> AsyncIterator[WireScheduler]:
    """Make the sandbox, the proxies and the service of *scenario*, ready to run schedules."""
    if ways.isolation is not None:
        scenario = scenario.with_counts({}, ways.isolation)
    async with open_sandbox(conninfo, scenario, fixes) as sandbox:
        await sandbox.reset()
        for violated in await sandbox.judge():
            raise UsageError(
                f"{scenario.file}: invariant {violated.name!r} does not hold before any client "
                f"acts: {in_words(violated)}"
            )
        watched = [scenario.sql_of(invariant.sql) for invariant in scenario.invariant]
        footprints = WireFootprints(sandbox.control, watched)
        turns = WireTurns(
            [actor.name for actor in actors_of(scenario)],
            footprints,
            database=database_words(sandbox.url)["database"],
            hold_commits=hold_commits,
            one_transaction=ways.one_transaction,
            rewrite=locking_reads(ways.lock_reads_of) if ways.lock_reads_of else str,
            searches_soon=sandbox.searches_soon,
        )
        async with open_runner(scenario, sandbox.url, turns) as runner:
            yield WireScheduler(sandbox, runner, turns, ways)
