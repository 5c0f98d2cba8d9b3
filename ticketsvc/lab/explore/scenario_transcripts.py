"""A schedule of a scenario as lines for people: what each step got back, and whom it waited for."""

import io
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

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
"""How wide a column may be; the statement gets what is left."""


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
    ends = [textwrap.fill(_plain(line), _WIDTH, subsequent_indent="    ") for line in endings(run)]
    return "\n".join([*_table(rows(run)), "", *ends])


def _plain(text: str) -> str:
    """Return *text* with blanks for what could begin a line or a colour: a client's data may."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return *rows* as lines, below their head; columns without any content are left out."""
    used = [column for column in range(len(COLUMNS)) if any(row[column] for row in rows)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for column in used:
        table.add_column(COLUMNS[column], max_width=_MOST.get(COLUMNS[column]), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(row[column])) for column in used))
    drawn = io.StringIO()
    Console(file=drawn, width=_WIDTH, color_system=None, force_jupyter=False).print(table)
    return [line.rstrip() for line in drawn.getvalue().splitlines()]


def _sql(text: str, values: tuple[str | None, ...]) -> str:
    bound = ", ".join("NULL" if value is None else value for value in values)
    shown = shortened(text, _SQL_LENGTH)
    return f"{shown}  [{shortened(bound, _VALUES_LENGTH)}]" if values else shown
