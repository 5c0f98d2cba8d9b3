"""What notebook 10 does with a scenario: let it run, explore it, try fixes, show the results."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from IPython.display import HTML, Code, Markdown

from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.explore.fixes import SHOWN, TriedFix, try_fixes
from ticketsvc.lab.explore.scenario import (
    ScenarioExploration,
    explore_scenario,
    replay_scenario,
)
from ticketsvc.lab.explore.scenario_transcripts import transcript_of
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun, Ways
from ticketsvc.lab.scenarios.burst import ScenarioBurst, run_bursts
from ticketsvc.lab.scenarios.sandbox import NO_NUMBER_TWICE
from ticketsvc.lab.scenarios.spec import Scenario, read_scenario
from ticketsvc.lab.widgets.schedule_grid import schedule_grid
from ticketsvc.lab.widgets.step_through import step_through
from ticketsvc.settings import ROOT

_NODE = ROOT / "examples" / "node-express"
_PYTHON = ROOT / "examples" / "aiohttp-psycopg"


@dataclass(frozen=True)
class Investigation:
    """A scenario and, where there is one, the same system *fixed*, to be run beside *url*."""

    url: str
    scenario: Scenario
    fixed: Scenario | None
    limit: int

    def show(self) -> Code:
        """Return the scenario's file as it is written."""
        return Code(self.scenario.file.read_text(encoding="utf-8"), language="toml")

    async def run_bursts(self, repeat: int, clients: int = 0) -> list[ScenarioBurst]:
        """Let all clients act at once, *repeat* times; *clients* of the first kind, 0: its own."""
        with counted("bursts", repeat) as count:
            return await run_bursts(
                self.url, self.scenario, clients=clients or None, repeat=repeat, on_burst=count
            )

    async def run_one_client(self) -> ScenarioBurst:
        """Let the first client act alone."""
        first, *others = self.scenario.client
        nobody = {other.name: 0 for other in others}
        alone = self.scenario.with_counts({first.name: 1, **nobody}, None)
        [burst] = await run_bursts(self.url, alone)
        return burst

    async def explore(self) -> ScenarioExploration:
        """Explore the scenario as it is."""
        return await self._explore(self.scenario)

    async def explore_fixed(self) -> ScenarioExploration | None:
        """Explore the fixed system; return None where there is none."""
        return await self._explore(self.fixed) if self.fixed else None

    async def replay(self, found: ScenarioExploration) -> ScenarioRun | None:
        """Run the smallest bad schedule again, by its order of clients; None: there is none."""
        smallest = found.smallest
        if smallest is None:
            return None
        return await replay_scenario(self.url, self.scenario, smallest.choices)

    async def try_fixes(self, found: ScenarioExploration, limit: int) -> list[TriedFix]:
        """Explore each candidate, at most *limit* classes of it; nothing where nothing is wrong."""
        if not found.violating:
            return []

        async def explore(ways: Ways, sql: tuple[str, ...]) -> ScenarioExploration:
            return await explore_scenario(
                self.url,
                self.scenario,
                ways=ways,
                fixes=sql,
                limit=limit,
                stop_at_violation=True,
                keep=True,
            )

        with counted("fixes") as count:
            return await try_fixes(self.scenario, found, explore, lambda _: count())

    async def _explore(self, scenario: Scenario) -> ScenarioExploration:
        with counted("schedules") as count:
            return await explore_scenario(
                self.url, scenario, limit=self.limit, keep=True, on_run=lambda _: count()
            )


def open_investigation(url: str, scenario: str, fixed: str, limit: int) -> Investigation:
    """Read the files *scenario* and *fixed*, which may be empty; execute at most *limit* classes.

    Without *scenario*, take the Node example where it can run, else the one in Python.
    """
    if scenario:
        files = [scenario, fixed]
    else:
        runs = shutil.which("node") and (_NODE / "node_modules").is_dir()
        example = _NODE if runs else _PYTHON
        files = [str(example / "naive.toml"), str(example / "fixed.toml")]
    # A relative path is one in this project: a notebook runs in a folder of its own.
    read = [read_scenario(ROOT / file) if file else None for file in files]
    assert read[0]  # noqa: S101 - its name is not empty
    return Investigation(url, read[0], read[1], limit)


def name_of(scenario: Scenario) -> str:
    """Return the scenario's folder and file, as a title."""
    return f"{scenario.folder.name}/{scenario.file.name}"


def burst_table(bursts: Sequence[ScenarioBurst]) -> pd.DataFrame:
    """Return one row per burst: how clients ended, and which invariants were violated."""
    rows = [burst.as_dict() for burst in bursts]
    table = pd.DataFrame(rows)[["clients", "success", "refused", "failed"]]
    if any(row["numbers"] for row in rows):
        table["numbers sold"] = [row["numbers"] for row in rows]
        table["sold again"] = [row["duplicates"] for row in rows]
    told = [[NO_NUMBER_TWICE] * bool(row["duplicates"]) + [*row["violations"]] for row in rows]
    table["violated"] = [", ".join(names) or "nothing" for names in told]
    return _numbered(table, "burst")


def most_telling(bursts: Sequence[ScenarioBurst]) -> ScenarioBurst:
    """Return the first burst that violates, or else the first one."""
    return next((burst for burst in bursts if not burst.clean), bursts[0])


def counts(found: Mapping[str, ScenarioExploration | None]) -> pd.DataFrame:
    """Return one column of counts per exploration; every count but "executed" is of schedules."""
    names = {
        "schedules": "schedules",
        "classes": "executed",
        "clean": "clean",
        "violating": "violating",
        "refused": "a client did not succeed",
        "blocked": "a step waited for a lock",
    }
    columns = {title: one.as_dict() for title, one in found.items() if one}
    return pd.DataFrame(
        {title: {names[key]: one[key] for key in names} for title, one in columns.items()}
    )


def grid(found: ScenarioExploration) -> HTML:
    """Show every schedule as a cell; without a schedule, why there is none."""
    seen = found.complete and not found.reasons
    shown = [transcript_of(run, seen=seen) for run in found.runs]
    return schedule_grid({name_of(found.scenario): shown})


def smallest_step_by_step(found: ScenarioExploration) -> HTML | Markdown:
    """Step through the smallest bad schedule; without one, the one in which most waited."""
    if not found.runs:
        return Markdown("No schedule was executed to its end.")
    run = found.smallest or max(
        found.runs, key=lambda run: sum(bool(step.waited_for) for step in run.steps)
    )
    seen = found.complete and not found.reasons
    return step_through(transcript_of(run, seen=seen))


def fixes_table(tried: Sequence[TriedFix]) -> pd.DataFrame:
    """Return the candidates that were explored as a table, the best first."""
    explored = [one for one in tried if one.explored]
    table = pd.DataFrame([one.shown() for one in explored], columns=[*SHOWN, "why"])
    names = {"schedules": "covered", "refused_needlessly": "needless refusals"}
    table = table.rename(columns=names)
    executed = [f"{one.found.classes:,}" for one in explored]
    table.insert(table.columns.get_loc("covered") + 1, "executed", executed)
    return _numbered(table, "rank")


def _numbered(table: pd.DataFrame, number: str) -> pd.DataFrame:
    """Return *table* with its rows counted from 1, under the heading *number*."""
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table.rename_axis(columns=number)
