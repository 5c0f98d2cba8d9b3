"""What `explore`, `stress` and `audit` do with a scenario file, and how they print it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ticketsvc.cli.console import complain, counter, print_facts, print_table, progress
from ticketsvc.cli.root import CLEAN, COULD_NOT_TELL, VIOLATION, run_async
from ticketsvc.errors import UsageError
from ticketsvc.settings import load_settings

if TYPE_CHECKING:
    from ticketsvc.lab.explore.fixes import TriedFix
    from ticketsvc.lab.explore.scenario import ScenarioExploration
    from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
    from ticketsvc.lab.scenarios.spec import Scenario

_FIX_COLUMNS = {
    "fix": "fix",
    "holds": "holds",
    "schedules": "schedules",
    "violating": "violating",
    "turned_away_needlessly": "turned away needlessly",
    "errors": "errors",
    "waits": "waits",
    "smallest": "smallest bad",
    "why": "why",
}


def read_counts(given: Sequence[str]) -> dict[str, int]:
    """Return `--count NAME=N` as numbers by name; raise `UsageError` for anything else."""
    counts = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not equals or not name or not number.isdecimal():
            raise UsageError(f"--count {text!r}: must look like buyer=3")
        counts[name] = int(number)
    return counts


def open_scenario(file: Path, counts: Sequence[str] = (), isolation: str | None = None) -> Any:
    """Read *file*, with other numbers of clients and another isolation where they are given."""
    from ticketsvc.lab.scenarios.spec import read_scenario

    return read_scenario(file).with_counts(read_counts(counts), isolation)


def explore_file(
    file: Path,
    *,
    counts: Sequence[str],
    isolation: str | None,
    full: bool,
    sample: int,
    seed: int,
    limit: int,
    hold_commits: bool,
    try_fixes: bool,
    compare: Path | None,
    replay: str | None,
    as_json: bool,
) -> int:
    """Explore the scenario in *file*, print what was found, and return the exit code."""
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.explore.scenario import explore_scenario
    from ticketsvc.lab.scenarios.psql import find_psql

    scenario = open_scenario(file, counts, isolation)
    other = open_scenario(compare, counts, isolation) if compare else None
    psql = find_psql()
    options: dict[str, Any] = {"hold_commits": hold_commits}
    with kept_database(load_settings()) as url:
        if replay is not None:
            return _replay(url, scenario, psql, replay, hold_commits, as_json)
        options |= {"full": full, "sample": sample, "seed": seed, "limit": limit}

        def explore(chosen: "Scenario", **more: Any) -> "ScenarioExploration":
            with counter("schedules") as advance:
                return run_async(
                    explore_scenario(
                        url,
                        chosen,
                        psql,
                        keep=try_fixes,
                        on_run=lambda run: advance(run.represents),
                        **options,
                        **more,
                    )
                )

        found = explore(scenario)
        rival = explore(other) if other else None
        tried = _try_fixes(url, scenario, psql, found, options) if try_fixes else []
    told = found.as_dict()
    if tried:
        told["fixes"] = [one.as_dict() for one in tried]
    if rival is not None:
        told = {"before": told, "after": rival.as_dict()}
    if as_json:
        print(json.dumps(told))
    else:
        _print(scenario, found, hold_commits)
        if tried:
            _print_fixes(tried)
        if rival is not None and compare is not None:
            print_comparison({str(file): found, str(compare): rival})
    return exit_code(rival or found)


def exit_code(found: "ScenarioExploration") -> int:
    """Return 1 when a schedule violates, 3 when nothing can be told, 0 when all is clean."""
    if found.violating:
        return VIOLATION
    return COULD_NOT_TELL if found.reasons or not found.complete else CLEAN


def _try_fixes(
    url: str,
    scenario: "Scenario",
    psql: str,
    found: "ScenarioExploration",
    options: Mapping[str, Any],
) -> "list[TriedFix]":
    from ticketsvc.lab.explore.fixes import candidates, try_fixes
    from ticketsvc.lab.explore.scenario import explore_scenario

    with progress("fixes", len(candidates(scenario, found))) as advance:
        return run_async(
            try_fixes(
                scenario,
                found,
                lambda ways, sql: explore_scenario(
                    url, scenario, psql, ways=ways, fixes=sql, keep=True, **options
                ),
                on_fix=lambda _: advance(),
            )
        )


def _replay(
    url: str, scenario: "Scenario", psql: str, word: str, hold_commits: bool, as_json: bool
) -> int:
    from ticketsvc.lab.explore.scenario import replay_scenario
    from ticketsvc.lab.explore.scenario_transcripts import COLUMNS, endings, rows
    from ticketsvc.lab.explore.schedules import choices_of
    from ticketsvc.lab.scenarios.clients import actors_of

    choices = choices_of(word, len(actors_of(scenario)))
    run: ScenarioRun | None = run_async(
        replay_scenario(url, scenario, psql, choices, hold_commits=hold_commits)
    )
    if run is None:
        raise UsageError(
            f"--replay {word}: no schedule of this scenario; give the --count, --isolation and "
            "--no-hold-commits with which the id was shown"
        )
    if as_json:
        steps = [dict(zip(COLUMNS, row, strict=True)) for row in rows(run)]
        print(json.dumps({"id": run.id, "steps": steps, "endings": endings(run)}))
    else:
        print_table(COLUMNS, rows(run))
        print("\n".join([f"schedule {run.id}", *endings(run)]))
    return CLEAN if run.clean else VIOLATION


def _print(scenario: "Scenario", found: "ScenarioExploration", hold_commits: bool) -> None:
    from ticketsvc.lab.explore.scenario_transcripts import COLUMNS, endings, rows
    from ticketsvc.lab.scenarios.clients import actors_of

    clients = len(actors_of(scenario))
    commits = "statement and commit are two steps" if hold_commits else "commits are not held apart"
    facts: dict[str, Any] = {
        "clients": clients,
        "isolation": scenario.database.isolation,
        "schedules": f"{found.schedules:,}, by {found.classes:,} executed ({commits})",
        "clean": f"{found.clean:,}",
        "violating": f"{found.violating:,}",
        "a client did not succeed": f"{found.refused:,}",
        "a step waited for a lock": f"{found.blocked:,}",
        "a client tried again": f"{found.retries:,}",
    }
    if found.sqlstates:
        facts["errors"] = ", ".join(f"{code} {n:,}" for code, n in sorted(found.sqlstates.items()))
    print_facts(str(scenario.file), facts)
    for name, word in found.examples.items():
        times = found.violations.get(name)
        said = f"{name}: violated in {times:,}" if times else "clean"
        print(f"  {said}, for example --replay {word}")
    if found.smallest is not None:
        print_table(COLUMNS, rows(found.smallest))
        print("\n".join([f"schedule {found.smallest.id}, the smallest", *endings(found.smallest)]))
    elif found.sampled and not found.reasons:
        print(f"{found.schedules:,} random schedules, none bad; a sample cannot prove the rest")
    elif found.complete and not found.reasons:
        print(f"all {found.schedules:,} schedules are covered, and every one is clean")
        if not hold_commits:
            print(
                "that proves nothing about statements that overlap: with --no-hold-commits each "
                "commits at once; run it again without that option"
            )
    for reason in found.reasons:
        complain(f"could not tell: {reason}")


def _print_fixes(tried: "Sequence[TriedFix]") -> None:
    rows = []
    for one in tried:
        row = one.as_dict() | {"holds": "yes" if one.holds else "no"}
        rows.append([row[name] for name in _FIX_COLUMNS])
    print_table(list(_FIX_COLUMNS.values()), rows)


def print_comparison(found: "Mapping[str, ScenarioExploration]") -> None:
    """Print explorations side by side."""
    names = ["schedules", "classes", "clean", "violating", "refused", "blocked", "retries"]
    columns = {file: one.as_dict() for file, one in found.items()}
    print_table(
        ["", *columns], [[name, *(one[name] for one in columns.values())] for name in names]
    )


def stress_file(file: Path, *, clients: int | None, repeat: int, as_json: bool) -> int:
    """Let all clients of the scenario act at once, *repeat* times; return the exit code.

    *clients*: how many of the first kind; None: as the file says.
    """
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.scenarios.burst import run_bursts
    from ticketsvc.lab.scenarios.psql import find_psql

    scenario = open_scenario(file)
    if clients is not None:
        first = scenario.client[0].model_copy(update={"count": clients})
        scenario = scenario.model_copy(update={"client": (first, *scenario.client[1:])})
    with kept_database(load_settings()) as url, progress("bursts", repeat) as advance:
        bursts = run_async(run_bursts(url, scenario, find_psql(), repeat=repeat, on_burst=advance))
    rows = [burst.as_dict() for burst in bursts]
    if as_json:
        print(json.dumps(rows))
    else:
        names = ["clients", "success", "refused", "failed", "numbers", "duplicates", "clean"]
        print_table(names, [[row[name] for name in names] for row in rows])
        for row in rows:
            for name, count in row["violations"].items():
                print(f"violated: {name}: {count} rows")
        if said := next((row["first_refusal"] for row in rows if row["first_refusal"]), ""):
            print(f"the first that did not succeed: {said}")
    if not all(burst.clean for burst in bursts):
        return VIOLATION
    if not any(row["success"] for row in rows):
        complain("could not tell: no client succeeded: that shows nothing")
        return COULD_NOT_TELL
    return CLEAN


def audit_file(file: Path, database_url: str | None, *, as_json: bool) -> int:
    """Judge the scenario's invariants on a live database, read-only, in one snapshot."""
    from ticketsvc.database.locate import check_server
    from ticketsvc.lab.explore.scenario_transcripts import in_words
    from ticketsvc.lab.scenarios.sandbox import audit_database

    scenario = open_scenario(file)
    settings = load_settings()
    url = database_url or (settings.database_url and settings.database_url.get_secret_value())
    if not url:
        raise UsageError("audit FILE needs --database-url or DATABASE_URL: which database is it?")
    violated = run_async(audit_database(check_server(url), scenario))
    if as_json:
        told = [{"invariant": one.name, "rows": one.count} for one in violated]
        print(json.dumps({"invariants": len(scenario.invariant), "violated": told}))
    else:
        for one in violated:
            print(in_words(one))
        print(f"{len(scenario.invariant) - len(violated)} of {len(scenario.invariant)} hold")
    return VIOLATION if violated else CLEAN


def exit_with(code: int) -> None:
    """End the command with *code*."""
    raise click.exceptions.Exit(code)
