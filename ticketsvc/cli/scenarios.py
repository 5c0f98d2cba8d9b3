"""What `explore`, `stress` and `audit` do with a scenario file."""

import json
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ticketsvc.cli.console import complain, counter, progress
from ticketsvc.cli.exit_codes import CLEAN, COULD_NOT_TELL, VIOLATION
from ticketsvc.cli.root import could_not_tell, run_async
from ticketsvc.cli.scenario_output import (
    filled,
    print_bursts,
    print_comparison,
    print_exploration,
    print_fixes,
    remarks,
)
from ticketsvc.errors import NoDatabase, UsageError
from ticketsvc.settings import DatabaseSettings

if TYPE_CHECKING:
    from ticketsvc.lab.explore.fixes import TriedFix
    from ticketsvc.lab.explore.scenario import ScenarioExploration
    from ticketsvc.lab.explore.wire_scheduler import Ways
    from ticketsvc.lab.scenarios.spec import Scenario


def read_counts(given: Sequence[str]) -> dict[str, int]:
    """Return `--count NAME=N` as numbers by name; raise `UsageError` for anything else."""
    counts = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not equals or not name or not (number.isascii() and number.isdecimal()):
            raise UsageError(f"--count {text!r}: must look like buyer=3")
        counts[name] = int(number)
    return counts


def open_scenario(
    file: Path, counts: Sequence[str] = (), isolation: str | None = None
) -> "Scenario":
    """Read *file*, with other numbers of clients and another isolation where they are given."""
    from ticketsvc.lab.scenarios.spec import read_scenario

    return read_scenario(file).with_counts(read_counts(counts), isolation)


def explore_file(
    file: Path,
    *,
    counts: Sequence[str],
    isolation: str | None,
    hold_commits: bool,
    try_fixes: bool,
    compare: Path | None,
    replay: str | None,
    as_json: bool,
    **search: Any,
) -> NoReturn:
    """Explore the scenario in *file*, print what was found, and end the command.

    *search*: which schedules are executed, as `explore_scenario` takes it.
    """
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.explore import fixes
    from ticketsvc.lab.explore.lock_watch import CouldNotTell
    from ticketsvc.lab.explore.scenario import explore_scenario

    if replay is not None and (try_fixes or compare):
        raise UsageError("--replay shows one schedule: leave out --try-fixes and --compare")
    if search["sample"] and try_fixes:
        raise UsageError("--try-fixes needs every schedule: leave out --sample")
    scenario = open_scenario(file, counts, isolation)
    other = open_scenario(compare, counts, isolation) if compare else None
    search["hold_commits"] = hold_commits
    tried: list[TriedFix] = []
    with kept_database() as url:
        if replay is not None:
            try:
                _replay(url, scenario, replay, hold_commits, as_json)
            except CouldNotTell as problem:
                could_not_tell(problem, as_json)

        def explore(chosen: "Scenario") -> "ScenarioExploration":
            with counter("schedules") as advance:
                return run_async(
                    explore_scenario(
                        url,
                        chosen,
                        keep=try_fixes,
                        on_run=lambda run: advance(run.represents),
                        **search,
                    )
                )

        def with_fix(ways: "Ways", sql: tuple[str, ...]) -> "Awaitable[ScenarioExploration]":
            stop = not search["full"]
            return explore_scenario(
                url, scenario, ways=ways, fixes=sql, keep=True, stop_at_violation=stop, **search
            )

        found = explore(scenario)
        rival = explore(other) if other else None
        if try_fixes:
            with progress("fixes", len(fixes.candidates(scenario, found))) as advance:
                trying = fixes.try_fixes(scenario, found, with_fix, lambda _: advance())
                tried = run_async(trying)
    if as_json:
        told = found.as_dict()
        if try_fixes:
            told["fixes"] = [one.as_dict() for one in tried]
        print(json.dumps({"before": told, "after": rival.as_dict()} if rival else told))
    elif rival is not None and compare is not None:
        print_comparison({str(file): found, str(compare): rival})
    else:
        print_exploration(scenario, found, hold_commits, tried_fixes=try_fixes)
    if tried and not as_json:
        print_fixes(tried)
    last = rival or found
    for remark in remarks(last):
        complain(remark)
    unsure = last.reasons or not last.complete
    code = VIOLATION if last.violating else COULD_NOT_TELL if unsure else CLEAN
    raise click.exceptions.Exit(code)


def _replay(
    url: str, scenario: "Scenario", word: str, hold_commits: bool, as_json: bool
) -> NoReturn:
    from ticketsvc.lab.explore.scenario import replay_scenario
    from ticketsvc.lab.explore.scenario_transcripts import COLUMNS, as_text, endings, rows
    from ticketsvc.lab.explore.schedules import choices_of
    from ticketsvc.lab.scenarios.clients import actors_of

    choices = choices_of(word, len(actors_of(scenario)))
    run = run_async(replay_scenario(url, scenario, choices, hold_commits=hold_commits))
    if run is None:
        raise UsageError(
            f"--replay {word}: no schedule of this scenario; give the --count, --isolation and "
            "--no-hold-commits with which the id was shown"
        )
    if as_json:
        steps = [dict(zip(COLUMNS, row, strict=True)) for row in rows(run)]
        print(json.dumps({"id": run.id, "steps": steps, "endings": endings(run)}))
    else:
        print(f"Schedule {run.id}:\n\n{as_text(run)}")
    raise click.exceptions.Exit(CLEAN if run.clean else VIOLATION)


def stress_file(file: Path, *, clients: int | None, repeat: int, as_json: bool) -> NoReturn:
    """Let all clients of the scenario act at once, *repeat* times; print it; end the command.

    *clients*: how many of the first kind; None: as the file says.
    """
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.scenarios.burst import run_bursts

    scenario = open_scenario(file)
    with kept_database() as url, progress("bursts", repeat) as advance:
        bursting = run_bursts(url, scenario, clients=clients, repeat=repeat, on_burst=advance)
        bursts = run_async(bursting)
    if as_json:
        print(json.dumps([burst.as_dict() for burst in bursts]))
    else:
        print_bursts(bursts)
    if not all(burst.clean for burst in bursts):
        raise click.exceptions.Exit(VIOLATION)
    endings = [result.ending for burst in bursts for result in burst.results]
    if unknown := endings.count("unknown"):
        could_not_tell(f"{unknown} clients have no answer: each may have succeeded, or not", False)
    if "success" not in endings:
        could_not_tell("no client succeeded: that shows nothing", False)
    raise click.exceptions.Exit(CLEAN)


def audit_file(file: Path, database_url: str | None, *, as_json: bool) -> NoReturn:
    """Judge the scenario's invariants on a live database, read-only; end the command."""
    from ticketsvc.database.locate import check_server
    from ticketsvc.lab.explore.scenario_transcripts import in_words
    from ticketsvc.lab.scenarios.sandbox import audit_database

    scenario = open_scenario(file)
    settings = DatabaseSettings.load()
    url = database_url or (settings.database_url and settings.database_url.get_secret_value())
    if not url:
        raise UsageError("audit of a scenario needs --database-url, or DATABASE_URL")
    try:
        violated = run_async(audit_database(check_server(url), scenario))
    except NoDatabase as problem:
        could_not_tell(problem, as_json)
    if as_json:
        told = [{"invariant": one.name, "rows": one.count} for one in violated]
        print(json.dumps({"invariants": len(scenario.invariant), "violated": told}))
    else:
        for one in violated:
            print(filled(in_words(one)))
        total = len(scenario.invariant)
        print(f"{total - len(violated)} of {total} invariants hold")
    raise click.exceptions.Exit(VIOLATION if violated else CLEAN)
