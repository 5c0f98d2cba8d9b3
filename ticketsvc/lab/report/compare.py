"""Keep what a run of the notebooks came to, and put two runs side by side.

A difference is a finding only beyond the noise of its figure (`ticketsvc.lab.figures`).
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from jinja2 import Environment, FileSystemLoader
from pydantic import TypeAdapter

from ticketsvc.errors import UsageError
from ticketsvc.lab.figures import EXACT, ONCE, REPEATED, Figure
from ticketsvc.lab.report.notebooks import literal, read_parameters
from ticketsvc.lab.report.pages import POLICY, TEMPLATES
from ticketsvc.lab.report.results import NotebookResult

Finding = Literal[
    "differs", "other conditions", "no difference resolved", "in one run only", "equal"
]
"""Other conditions: a part of the environment, or a parameter, that was not the same."""


@dataclass(frozen=True)
class Run:
    """One run: its name, what it ran on, and what became of each of its notebooks."""

    name: str
    facts: Mapping[str, str]
    notebooks: Mapping[str, Mapping[str, Any]]


_RECORD = TypeAdapter(dict[str, Any])
_TEXTS = TypeAdapter(dict[str, str])
_FIGURES = TypeAdapter(list[Figure])


@dataclass(frozen=True)
class Row:
    """One line of a comparison: what it is about, both values as text, and what that means."""

    notebook: str
    what: str
    before: str
    after: str
    finding: Finding
    ratio: str = ""


def new_run_name() -> str:
    """Return the name of a run that begins now; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}"


def save_run(
    runs: Path,
    name: str,
    facts: Mapping[str, str],
    notebooks: Sequence[Path],
    results: Sequence[NotebookResult],
) -> None:
    """Write *runs*/NAME.json: parameters, environment and figures of the notebooks so far."""
    declared = {
        notebook.stem: {one.name: literal(one.default) for one in read_parameters(notebook)}
        for notebook in notebooks
    }
    ended = {
        result.name: {
            "state": result.state,
            "parameters": {**declared[result.name], **result.parameters},
            "duration_s": result.duration_s,
            "figures": (result.verdict or {}).get("figures", []),
        }
        for result in results
    }
    record = {"name": name, "facts": dict(facts), "notebooks": ended}
    runs.mkdir(parents=True, exist_ok=True)
    unfinished = runs / f"{name}.json.part"
    unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(runs / f"{name}.json")


def read_run(file: Path) -> Run:
    """Return the run that `save_run` wrote; raise `UsageError` when *file* holds none."""
    try:
        record = _RECORD.validate_json(file.read_bytes())
        notebooks = {
            name: {
                "state": str(one["state"]),
                "parameters": _RECORD.validate_python(one["parameters"]),
                "duration_s": float(one["duration_s"]),
                "figures": _FIGURES.validate_python(one["figures"]),
            }
            for name, one in _RECORD.validate_python(record["notebooks"]).items()
        }
        if not all(_possible(figure) for one in notebooks.values() for figure in _listed(one)):
            raise ValueError
        return Run(str(record["name"]), _TEXTS.validate_python(record["facts"]), notebooks)
    except OSError as problem:
        raise UsageError(f"--compare {file}: {problem.strerror}") from None
    except (ArithmeticError, KeyError, TypeError, ValueError):
        raise UsageError(f"--compare {file}: this is no record of a run") from None


def _possible(figure: Figure) -> bool:
    numbers = [figure.low, figure.value, figure.high]
    finite = all(map(math.isfinite, [*numbers, figure.noise]))
    return finite and numbers == sorted(numbers) and figure.noise >= EXACT


def _listed(notebook: Mapping[str, Any]) -> list[Figure]:
    duration = notebook["duration_s"]
    return [Figure("duration", "s", duration, duration, duration, ONCE), *notebook["figures"]]


def choose_runs(runs: Path, wanted: Sequence[str]) -> tuple[Run, Run]:
    """Return the two runs to compare: those *wanted*, or the one wanted and the newest other.

    Each is the name of a record in *runs*, or a file. Raise `UsageError` that names the runs.
    """
    known = {file.stem: file for file in sorted(runs.glob("[0-9]*-[0-9]*.json"))}
    there = f"there are {', '.join(known)}" if known else "there is none yet in runs"
    files = []
    for name in wanted:
        file = known.get(name, Path(name))
        if not file.is_file():
            raise UsageError(f"--compare {name}: there is no such run; {there}")
        files.append(file)
    if len(files) == 1:
        others = [file for file in known.values() if file.resolve() != files[0].resolve()]
        if not others:
            raise UsageError(f"--compare {wanted[0]}: there is no other run to compare it with")
        files.append(others[-1])
    if len(files) != 2:
        raise UsageError("--compare takes one run or two")
    return read_run(files[0]), read_run(files[1])


def compare(before: Run, after: Run) -> list[Row]:
    """Return what the runs share and where they differ, in the order of `Finding`.

    No difference of a time or a rate is resolved when a machine had other work to do.
    """
    rows = list(_compare_facts(before, after))
    busy = any(run.facts.get("Other work") == "yes" for run in (before, after))
    names = sorted(before.notebooks.keys() | after.notebooks.keys())
    for name in names:
        one, other = before.notebooks.get(name), after.notebooks.get(name)
        if one is None or other is None:
            was, now = (notebook["state"] if notebook else "not run" for notebook in (one, other))
            rows.append(Row(name, "verdict", was, now, "in one run only"))
            continue
        was, now = one["state"], other["state"]
        rows.append(Row(name, "verdict", was, now, "equal" if was == now else "differs"))
        rows += _compare_parameters(name, one["parameters"], other["parameters"])
        rows += _compare_figures(name, _figures(one), _figures(other), busy)
    order = get_args(Finding)
    return sorted(rows, key=lambda row: order.index(row.finding))


def _compare_facts(before: Run, after: Run) -> Iterator[Row]:
    for name in dict.fromkeys([*before.facts, *after.facts]):
        if name != "Date":
            was, now = (run.facts.get(name, "not known") for run in (before, after))
            finding: Finding = "equal" if was == now else "other conditions"
            yield Row("environment", name, was, now, finding)


def _compare_parameters(
    notebook: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Row]:
    for name in dict.fromkeys([*before, *after]):
        was, now = (repr(given[name]) if name in given else "none" for given in (before, after))
        if was != now:
            yield Row(notebook, f"parameter {name}", was, now, "other conditions")


def _figures(notebook: Mapping[str, Any]) -> dict[str, Figure]:
    return {figure.name: figure for figure in _listed(notebook)}


def _compare_figures(
    notebook: str, before: Mapping[str, Figure], after: Mapping[str, Figure], busy: bool
) -> Iterator[Row]:
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None:
            ratio = f"{other.value / one.value:.2f}" if one.value > 0 and other.value > 0 else ""
            finding = resolve(one, other)
            if busy and max(one.noise, other.noise) >= REPEATED:
                finding = "no difference resolved"
            yield Row(notebook, name, _shown(one), _shown(other), finding, ratio)
        else:
            was, now = (_shown(figure) if figure else "none" for figure in (one, other))
            yield Row(notebook, name, was, now, "in one run only")


def resolve(before: Figure, after: Figure) -> Finding:
    """Tell whether two figures differ by more than their noise.

    They do when the lowest of one is above the highest of the other, times the greater noise. A
    factor says nothing about what was measured as zero.
    """
    noise = max(before.noise, after.noise)
    if noise > EXACT and min(before.high, after.high) <= 0:
        return "no difference resolved"
    if before.low > after.high * noise or after.low > before.high * noise:
        return "differs"
    if noise > EXACT:
        return "no difference resolved"
    return "equal" if before == after else "differs"


def _shown(figure: Figure) -> str:
    value = f"{_number(figure.value)} {figure.unit}".strip()
    if figure.low == figure.high:
        return value
    return f"{value} ({_number(figure.low)} to {_number(figure.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def write_comparison(before: Run, after: Run, rows: Sequence[Row], reports: Path) -> Path:
    """Write *reports*/compare.html, which shows what `compare` found; return its path."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    results = [row.finding for row in rows if row.notebook != "environment"]
    page = environment.get_template("compare.html.j2").render(
        policy=POLICY,
        before=before,
        after=after,
        rows=rows,
        findings=get_args(Finding),
        differing=results.count("differs"),
        compared=sum(one in ("differs", "no difference resolved", "equal") for one in results),
    )
    file = reports / "compare.html"
    file.write_text(page, encoding="utf-8", errors="replace")
    return file
