"""A schedule of a scenario as lines for people: what each step got back, and whom it waited for."""

from collections.abc import Sequence

from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
from ticketsvc.lab.scenarios.sandbox import ViolatedInvariant

COLUMNS = ("step", "client", "statement", "result", "waited for")
_SQL_LENGTH = 100
_SHOWN_ROWS = 3
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
    found: list[tuple[str, ...]] = []
    for place, step in enumerate(run.steps, start=1):
        waited = ", ".join(run.names[client] for client in step.waited_for)
        if waited and step.released_by is not None:
            waited += f" until step {step.released_by + 1}"
        found.append(
            (str(place), run.names[step.session], _sql(step.text), _result(run, place - 1), waited)
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
        f"; and {more} more rows" if more > 0 else ""
    )


def as_text(run: ScenarioRun) -> str:
    """Return the whole transcript as text, for a failing test or a terminal."""
    lines = [*_table([COLUMNS, *rows(run)]), *endings(run)]
    return "\n".join([f"schedule {run.id}", *lines])


def _table(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _sql(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SQL_LENGTH else line[: _SQL_LENGTH - 1] + "…"


def _result(run: ScenarioRun, place: int) -> str:
    step = run.steps[place]
    if step.error:
        meaning = _SQLSTATES.get(step.error)
        return f"fails with {step.error}" + (f", {meaning}" if meaning else "")
    if step.read is not None:
        row = ", ".join(f"{name} {value}" for name, value in step.read.items())
        return row if step.rows <= 1 else f"{row}; {step.rows} rows"
    return "" if step.rows < 0 else "1 row" if step.rows == 1 else f"{step.rows} rows"
