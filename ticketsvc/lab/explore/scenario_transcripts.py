"""A schedule of a scenario as lines for people: what each step got back, and whom it waited for."""

import itertools
import textwrap
from collections.abc import Sequence

from ticketsvc.lab.explore.turns import shown_values
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
from ticketsvc.lab.scenarios.sandbox import ViolatedInvariant

COLUMNS = ("step", "client", "statement", "result", "waited for")
_SQL_LENGTH, _VALUES_LENGTH = 160, 60
_SHOWN_ROWS = 3
_WIDTH = 100
_MOST = {"client": 14, "result": 26, "waited for": 16}
"""How wide a column may be when the table is too wide; the statement gets what is left."""

_SQLSTATES = {
    "0A000": "not supported",
    "23503": "foreign key violation",
    "23505": "unique violation",
    "23514": "check violation",
    "23P01": "exclusion violation",
    "25P02": "in a failed transaction",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
}


def rows(run: ScenarioRun) -> list[tuple[str, ...]]:
    """Return one row per step, as `COLUMNS` names them."""
    values = {act.place: act.values for act in run.acts}
    found: list[tuple[str, ...]] = []
    for place, step in enumerate(run.steps, start=1):
        waited = ", ".join(run.names[client] for client in step.waited_for)
        if waited and step.released_by is not None:
            waited += f" until step {step.released_by + 1}"
        found.append(
            (
                str(place),
                run.names[step.session],
                _sql(step.text, values.get(place - 1, ())),
                _result(run, place - 1),
                waited,
            )
        )
    return found


def endings(run: ScenarioRun) -> list[str]:
    """Return how each client ended, then each violated invariant, then the cause."""
    told = [
        f"{name}: {result.ending}" + (f" ({result.message})" if result.message else "")
        for name, result in zip(run.names, run.results, strict=True)
    ]
    told += [in_words(violated) for violated in run.violated]
    if run.violated:
        told.append(f"cause: {run.cause.sentence if run.cause else 'unexplained'}")
    return told


def in_words(violated: ViolatedInvariant) -> str:
    """Return a violated invariant in a line, with the first of its rows."""
    shown = [
        ", ".join(f"{name} = {value}" for name, value in zip(violated.columns, row, strict=True))
        for row in violated.rows[:_SHOWN_ROWS]
    ]
    more = violated.count - len(shown)
    return f"violated: {violated.name}: {'; '.join(shown)}" + (
        f"; and {more:,} more row{'s' * (more > 1)}" if more > 0 else ""
    )


def error_in_words(sqlstate: str) -> str:
    """Return an error's code, with what it means where that is known."""
    meaning = _SQLSTATES.get(sqlstate)
    return f"{sqlstate}, {meaning}" if meaning else sqlstate


def in_one_line(run: ScenarioRun) -> str:
    """Return the schedule as names of clients and steps."""
    return ", ".join(f"{run.names[step.session]} {step.name}" for step in run.steps)


def as_text(run: ScenarioRun) -> str:
    """Return the whole transcript as text, for a failing test or a terminal."""
    ends = [textwrap.fill(line, _WIDTH, subsequent_indent="    ") for line in endings(run)]
    return "\n".join([*_table([COLUMNS, *rows(run)]), "", *ends])


def _table(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return *cells* as lines, the first as the head; columns without any content are left out."""
    used = [any(row[column] for row in cells[1:]) for column in range(len(cells[0]))]
    cells = [[cell for cell, use in zip(row, used, strict=True) if use] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gaps = 2 * (len(widths) - 1)
    if sum(widths) + gaps > _WIDTH:
        widths = [
            min(width, _MOST.get(name, width)) for name, width in zip(cells[0], widths, strict=True)
        ]
        statement = list(cells[0]).index("statement")
        left = _WIDTH - gaps - sum(widths) + widths[statement]
        widths[statement] = min(widths[statement], left)
    lines = []
    for row in cells:
        parts = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in itertools.zip_longest(*parts, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(line, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
    return lines


def _sql(text: str, values: tuple[str | None, ...]) -> str:
    shown = _cut(" ".join(text.split()), _SQL_LENGTH)
    return f"{shown}  [{_cut(shown_values(values), _VALUES_LENGTH)}]" if values else shown


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _result(run: ScenarioRun, place: int) -> str:
    step = run.steps[place]
    if step.error:
        return f"fails with {error_in_words(step.error)}"
    if step.read is not None:
        row = ", ".join(f"{name} {value}" for name, value in step.read.items())
        return row if step.rows <= 1 else f"{row}; {step.rows} rows"
    return "" if step.rows < 0 else "1 row" if step.rows == 1 else f"{step.rows} rows"
