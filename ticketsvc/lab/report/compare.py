"""Put two runs of the notebooks side by side.

A difference is a finding only beyond the noise of its figure (`ticketsvc.lab.figures`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ticketsvc.lab import figures
from ticketsvc.lab.figures import EXACT, REPEATED, RecordedFigure
from ticketsvc.lab.report.runs import NotebookRun, SavedRun
from ticketsvc.lab.report.templating import write_filled

Finding = Literal[
    "differs", "other conditions", "no difference resolved", "in one run only", "equal"
]
"""Other conditions: a part of the environment, or a parameter, that was not the same."""


@dataclass(frozen=True)
class Row:
    """One line of a comparison: what it is about, both values as text, and what that means."""

    notebook: str
    what: str
    before: str
    after: str
    finding: Finding
    ratio: str = ""


def compare(before: SavedRun, after: SavedRun) -> list[Row]:
    """Return what the runs share and where they differ, in the order of `Finding`.

    No difference of a time or a rate is resolved when a machine had other work to do.
    """
    facts = [
        {name: fact for name, fact in run.facts.items() if name != "Date"}
        for run in (before, after)
    ]
    rows = list(_compare_conditions("environment", *facts))
    busy = any(run.facts.get("Other work") == "yes" for run in (before, after))
    names = sorted(before.notebooks.keys() | after.notebooks.keys())
    for name in names:
        one, other = before.notebooks.get(name), after.notebooks.get(name)
        if one is None or other is None:
            was, now = (notebook.state if notebook else "not run" for notebook in (one, other))
            rows.append(Row(name, "verdict", was, now, "in one run only"))
            continue
        was, now = one.state, other.state
        rows.append(Row(name, "verdict", was, now, "equal" if was == now else "differs"))
        given = _compare_conditions(name, *map(_parameters, (one, other)))
        rows += (row for row in given if row.finding != "equal")
        rows += _compare_figures(name, one.by_name(), other.by_name(), busy)
    order = get_args(Finding)
    return sorted(rows, key=lambda row: order.index(row.finding))


def _compare_conditions(
    where: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Row]:
    for name in dict.fromkeys([*before, *after]):
        was, now = (given.get(name, "not known") for given in (before, after))
        yield Row(where, name, was, now, "equal" if was == now else "other conditions")


def _parameters(run: NotebookRun) -> dict[str, str]:
    return {f"parameter {name}": repr(value) for name, value in run.parameters.items()}


def _compare_figures(
    notebook: str,
    before: Mapping[str, RecordedFigure],
    after: Mapping[str, RecordedFigure],
    busy: bool,
) -> Iterator[Row]:
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        was, now = (_shown(figure) if figure else "none" for figure in (one, other))
        finding: Finding = "in one run only"
        ratio = ""
        if one is not None and other is not None:
            ratio = f"{other.value / one.value:.2f}" if one.value > 0 and other.value > 0 else ""
            finding = resolve(one, other)
            if busy and max(one.noise, other.noise) >= REPEATED:
                finding = "no difference resolved"
        yield Row(notebook, name, was, now, finding, ratio)


def resolve(before: RecordedFigure, after: RecordedFigure) -> Finding:
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


def _shown(figure: RecordedFigure) -> str:
    value = f"{_number(figure.value)} {figure.unit}".strip()
    if figure.low == figure.high:
        return value
    return f"{value} ({_number(figure.low)} to {_number(figure.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def write_comparison(before: SavedRun, after: SavedRun, rows: Sequence[Row], reports: Path) -> Path:
    """Write *reports*/compare.html, which shows what `compare` found; return its path."""
    results = [row.finding for row in rows if row.notebook != "environment"]
    return write_filled(
        reports,
        "compare.html",
        before=before,
        after=after,
        rows=rows,
        findings=get_args(Finding),
        differing=results.count("differs"),
        compared=sum(one in ("differs", "no difference resolved", "equal") for one in results),
        noise=figures,
    )
