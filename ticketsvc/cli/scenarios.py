"""What `explore`, `stress` and `audit` do with a scenario file, and how they print it."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ticketsvc.cli.console import complain, counter, print_table, progress
from ticketsvc.cli.root import CLEAN, COULD_NOT_TELL, VIOLATION, could_not_tell, run_async
from ticketsvc.errors import NoDatabase, UsageError
from ticketsvc.settings import load_settings

if TYPE_CHECKING:
    from ticketsvc.lab.explore.fixes import TriedFix
    from ticketsvc.lab.explore.scenario import ScenarioExploration
    from ticketsvc.lab.scenarios.burst import ScenarioBurst
    from ticketsvc.lab.scenarios.spec import Scenario

_WIDTH = 100
_FIX_COLUMNS = {
    "fix": "fix",
    "holds": "holds",
    "schedules": "schedules",
    "violating": "violating",
    "refused_needlessly": "refused needlessly",
    "errors": "errors",
    "waits": "waits",
}
_FIX_LEGEND = (
    "Numbers are schedules. Refused needlessly: fewer clients were served than would have been "
    "one after the other. Errors: a client ended in an error from the database. Waits: a step "
    "waited for a lock."
)


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
    full: bool,
    sample: int,
    seed: int,
    limit: int,
    hold_commits: bool,
    try_fixes: bool,
    compare: Path | None,
    replay: str | None,
    as_json: bool,
) -> NoReturn:
    """Explore the scenario in *file*, print what was found, and end the command."""
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.explore.scenario import explore_scenario
    from ticketsvc.lab.explore.turns import CouldNotTell
    from ticketsvc.lab.scenarios.psql import find_psql

    if replay is not None and (try_fixes or compare):
        raise UsageError("--replay shows one schedule: leave out --try-fixes and --compare")
    if sample and try_fixes:
        raise UsageError("--try-fixes needs every schedule: leave out --sample")
    scenario = open_scenario(file, counts, isolation)
    other = open_scenario(compare, counts, isolation) if compare else None
    psql = find_psql()
    options: dict[str, Any] = {"hold_commits": hold_commits}
    with kept_database(load_settings()) as url:
        if replay is not None:
            try:
                _replay(url, scenario, psql, replay, hold_commits, as_json)
            except CouldNotTell as problem:
                could_not_tell(str(problem), as_json)
        options |= {"full": full, "sample": sample, "seed": seed, "limit": limit}

        def explore(chosen: "Scenario") -> "ScenarioExploration":
            with counter("schedules") as advance:
                return run_async(
                    explore_scenario(
                        url,
                        chosen,
                        psql,
                        keep=try_fixes,
                        on_run=lambda run: advance(run.represents),
                        **options,
                    )
                )

        found = explore(scenario)
        rival = explore(other) if other else None
        tried = _try_fixes(url, scenario, psql, found, options) if try_fixes else []
    if as_json:
        told = found.as_dict()
        if try_fixes:
            told["fixes"] = [one.as_dict() for one in tried]
        print(json.dumps({"before": told, "after": rival.as_dict()} if rival else told))
    elif rival is not None and compare is not None:
        _print_comparison({str(file): found, str(compare): rival})
    else:
        _print(scenario, found, hold_commits, tried_fixes=try_fixes)
    if tried and not as_json:
        _print_fixes(tried)
    for reason in (rival or found).reasons:
        complain(f"could not tell: {reason}")
    raise click.exceptions.Exit(exit_code(rival or found))


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
) -> NoReturn:
    from ticketsvc.lab.explore.scenario import replay_scenario
    from ticketsvc.lab.explore.scenario_transcripts import COLUMNS, as_text, endings, rows
    from ticketsvc.lab.explore.schedules import choices_of
    from ticketsvc.lab.scenarios.clients import actors_of

    choices = choices_of(word, len(actors_of(scenario)))
    run = run_async(replay_scenario(url, scenario, psql, choices, hold_commits=hold_commits))
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


def _print(
    scenario: "Scenario", found: "ScenarioExploration", hold_commits: bool, *, tried_fixes: bool
) -> None:
    from ticketsvc.lab.explore.scenario_transcripts import as_text
    from ticketsvc.lab.scenarios.clients import actors_of

    if not found.schedules:
        return
    names = ", ".join(actor.name for actor in actors_of(scenario))
    commits = "two steps" if hold_commits else "one step"
    print(
        f"{scenario.file}: {names}; {scenario.database.isolation}; a statement and its commit are "
        f"{commits}"
    )
    print_table(("schedules", "what they have in common"), _counts(found))
    if found.smallest is not None:
        print(f"The smallest schedule that violates, {found.smallest.id}:\n")
        print(as_text(found.smallest) + "\n")
    for name, word in found.examples.items():
        print(f"{name if name == 'clean' else f'violates {name!r}'}: --replay {word}")
    print(_conclusion(found, hold_commits))
    if found.smallest is not None and not tried_fixes and not found.sampled:
        print("Next: --try-fixes explores the same again with each fix that people reach for.")


def _counts(found: "ScenarioExploration") -> list[tuple[str, str]]:
    from ticketsvc.lab.explore.transcripts import error_in_words

    rate = f", {found.classes / found.seconds:,.0f} per second" if found.seconds else ""
    executed = f"{found.classes:,} executed{rate}"
    if found.classes < found.schedules:
        executed += "; each of the others ends like one of these"
    errors = sorted(found.sqlstates.items())
    counts = [
        (found.schedules, f"covered; {executed}"),
        (found.clean, "clean"),
        *((times, f"violate {name!r}") for name, times in found.violations.items()),
        (found.refused, "a client did not succeed: it was refused, or failed"),
        (found.blocked, "a step waited for another client's lock"),
        (found.retries, "a client went on after a statement that failed"),
        *((times, f"a statement failed with {error_in_words(code)}") for code, times in errors),
    ]
    return [(f"{count:,}", meaning) for count, meaning in counts if count or meaning == "clean"]


def _conclusion(found: "ScenarioExploration", hold_commits: bool) -> str:
    counted = f"{found.clean:,} clean, {found.violating:,} that violate an invariant"
    if found.sampled:
        return f"{found.schedules:,} random schedules: {counted}. A sample cannot prove the rest."
    if not found.complete:
        return f"Not every schedule is covered. So far: {counted}."
    if found.violating or found.reasons:
        return f"All {found.schedules:,} schedules are covered: {counted}."
    if hold_commits:
        clean = f"All {found.schedules:,} schedules are covered, and every one is clean."
        if found.refused < found.schedules:
            return clean
        return clean + (
            "\nIn each, a client did not succeed. Explore once more with stock for all of them: "
            "that is\nwhere two may get the same."
        )
    return (
        f"All {found.schedules:,} schedules are clean, which proves nothing about statements that "
        "overlap:\nwith --no-hold-commits each statement commits at once. Run it again without it."
    )


def _print_fixes(tried: "Sequence[TriedFix]") -> None:
    from ticketsvc.lab.explore.scenario_transcripts import in_one_line

    rows = []
    for one in tried:
        row = one.as_dict() | {"holds": "yes" if one.holds else "no"}
        rows.append([row[name] for name in _FIX_COLUMNS])
    print("\nFixes, the best first:")
    print_table(list(_FIX_COLUMNS.values()), rows, _WIDTH)
    print(textwrap.fill(_FIX_LEGEND, _WIDTH) + "\n")
    for one in tried:
        print(_filled(f"{one.candidate.name}: {one.why}"))
        if one.found.smallest is not None:
            print(_filled(f"    it breaks at: {in_one_line(one.found.smallest)}"))


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ")


def _print_comparison(found: "Mapping[str, ScenarioExploration]") -> None:
    names = ["schedules", "classes", "clean", "violating", "refused", "blocked", "retries"]
    told = [one.as_dict() for one in found.values()]
    rows = [[name, *(one[name] for one in told)] for name in names]
    kinds = dict.fromkeys(name for one in told for name in one["violations"])
    rows += [
        [f"violate {kind!r}", *(one["violations"].get(kind, 0) for one in told)] for kind in kinds
    ]
    rows.append(["all covered", *("yes" if one["complete"] else "no" for one in told)])
    for when, file in zip(("before", "after"), found, strict=True):
        print(f"{when}: {file}")
    print_table(["", "before", "after"], rows, _WIDTH)


def stress_file(file: Path, *, clients: int | None, repeat: int, as_json: bool) -> NoReturn:
    """Let all clients of the scenario act at once, *repeat* times; print it; end the command.

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
    if as_json:
        print(json.dumps([burst.as_dict() for burst in bursts]))
    else:
        _print_bursts(bursts)
    if not all(burst.clean for burst in bursts):
        raise click.exceptions.Exit(VIOLATION)
    endings = [result.ending for burst in bursts for result in burst.results]
    if unknown := endings.count("unknown"):
        could_not_tell(f"{unknown} clients have no answer: each may have succeeded, or not", False)
    if "success" not in endings:
        could_not_tell("no client succeeded: that shows nothing", False)
    raise click.exceptions.Exit(CLEAN)


def _print_bursts(bursts: "Sequence[ScenarioBurst]") -> None:
    from ticketsvc.lab.explore.scenario_transcripts import in_words

    names = ["clients", "success", "refused", "failed", "unknown", "numbers", "duplicates", "clean"]
    rows = [burst.as_dict() | {"clean": "yes" if burst.clean else "no"} for burst in bursts]
    print_table(
        ["burst", *names],
        [[n, *(row[name] for name in names)] for n, row in enumerate(rows, 1)],
        _WIDTH,
    )
    for n, burst in enumerate(bursts, start=1):
        for when, violated in (("before", burst.before), ("after", burst.after)):
            for one in violated:
                print(_filled(f"{when} burst {n}: {in_words(one)}"))
    if said := next((row["first_refusal"] for row in rows if row["first_refusal"]), ""):
        print(_filled(f"The first client that did not succeed was told: {said}"))


def audit_file(file: Path, database_url: str | None, *, as_json: bool) -> NoReturn:
    """Judge the scenario's invariants on a live database, read-only; end the command."""
    from ticketsvc.database.locate import check_server
    from ticketsvc.lab.explore.scenario_transcripts import in_words
    from ticketsvc.lab.scenarios.sandbox import audit_database

    scenario = open_scenario(file)
    settings = load_settings()
    url = database_url or (settings.database_url and settings.database_url.get_secret_value())
    if not url:
        raise UsageError("audit of a scenario needs --database-url, or DATABASE_URL")
    try:
        violated = run_async(audit_database(check_server(url), scenario))
    except NoDatabase as problem:
        could_not_tell(str(problem), as_json)
    if as_json:
        told = [{"invariant": one.name, "rows": one.count} for one in violated]
        print(json.dumps({"invariants": len(scenario.invariant), "violated": told}))
    else:
        for one in violated:
            print(_filled(in_words(one)))
        total = len(scenario.invariant)
        print(f"{total - len(violated)} of {total} invariants hold")
    raise click.exceptions.Exit(VIOLATION if violated else CLEAN)
