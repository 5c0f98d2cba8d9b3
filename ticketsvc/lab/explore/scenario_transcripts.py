"""A schedule of a scenario as lines for people: what each step got back, and whom it waited for."""

import itertools
import textwrap
from collections.abc import Sequence

from ticketsvc.lab.explore.transcripts import Transcript, rows_of
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
from ticketsvc.lab.outcome_looks import SCENARIO_LOOKS
from ticketsvc.lab.scenarios.sandbox import ViolatedInvariant
from ticketsvc.lab.wire.statements import shortened

COLUMNS = ("step", "client", "statement", "result", "waited for")
_SQL_LENGTH, _VALUES_LENGTH = 160, 60
_SHOWN_ROWS = 3
_WIDTH = 100
_MOST = {"client": 14, "result": 26, "waited for": 16}
"""How wide a column may be when the table is too wide; the statement gets what is left."""


def rows(run: ScenarioRun) -> list[tuple[str, ...]]:
    """Return one row per step, as `COLUMNS` names them."""
    values = {act.place: act.values for act in run.acts}
    return rows_of(
        run, [_sql(step.text, values.get(place, ())) for place, step in enumerate(run.steps)]
    )


def transcript_of(run: ScenarioRun, *, seen: bool = True) -> Transcript:
    """Return what is shown of *run*; *seen*: its exploration could see and cover everything.

    The rows name each step in short, so that its result stands beside it.
    """
    outcome = "violating" if run.violated else "clean" if seen else "could not tell"
    return Transcript(
        run=run,
        look=SCENARIO_LOOKS[outcome],
        columns=COLUMNS,
        rows=tuple(rows_of(run, [step.name for step in run.steps])),
        before=(f"{', '.join(run.names)}: all act at the same time.",),
        answers=tuple(answers(run)),
        findings=tuple(findings(run)),
    )


def endings(run: ScenarioRun) -> list[str]:
    """Return how each client ended, then each violated invariant and its cause."""
    return [*answers(run), *(findings(run) if run.violated else ())]


def answers(run: ScenarioRun) -> list[str]:
    """Return how each client ended."""
    return [
        f"{name}: {result.ending}" + (f" ({result.message})" if result.message else "")
        for name, result in zip(run.names, run.results, strict=True)
    ]


def findings(run: ScenarioRun) -> list[str]:
    """Return the violated invariants, each cause after those it has violated; or that all hold."""
    if not run.violated:
        return ["every invariant holds"]
    found: dict[str, list[str]] = {}
    for violated, cause in zip(run.violated, run.causes, strict=True):
        told = f"cause: {cause.sentence if cause else 'unexplained'}"
        found.setdefault(told, []).append(in_words(violated))
    return [line for told, names in found.items() for line in (*names, told)]


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
    bound = ", ".join("NULL" if value is None else value for value in values)
    shown = shortened(text, _SQL_LENGTH)
    return f"{shown}  [{shortened(bound, _VALUES_LENGTH)}]" if values else shown
