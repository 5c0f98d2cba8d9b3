"""The step-through: one schedule, one step at a time, forward and back.

It works without a script, see `rendering`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from IPython.display import HTML

from ticketsvc.lab.charts.outcomes import look_of
from ticketsvc.lab.explore.schedules import ScheduleRun, Step
from ticketsvc.lab.explore.snapshots import Snapshot, take_snapshot
from ticketsvc.lab.explore.transcripts import (
    blockers,
    findings,
    ledger_words,
    letters,
    result_of,
)
from ticketsvc.lab.widgets.rendering import render


@dataclass(frozen=True)
class _Box:
    """One step in its session's column. *state*: done, waits, failed or to come."""

    number: int
    name: str
    state: str
    words: str
    current: bool


@dataclass(frozen=True)
class _Ledger:
    """What is committed, in words, and as shares of a bar."""

    words: str
    issued: int
    sold_share: float
    beyond_share: float
    total_share: float


@dataclass(frozen=True)
class _View:
    name: str
    session: int | None
    sentences: Sequence[str]
    sql: str
    ledger: _Ledger | None
    columns: Sequence[Sequence[_Box]]


def step_through(run: ScheduleRun, *, total: int) -> HTML:
    """Show *run* one step at a time, from before the first to the verdict.

    *total*: the event's tickets. The ledger between two steps is shown if the run was executed
    with snapshots.
    """
    names = letters(run)
    ledgers = _ledgers(run, total)
    steps = [_view(run, place, names, ledgers[place + 1]) for place in range(len(run.steps))]
    before = _View(
        "before the first step",
        None,
        [
            f"{' and '.join(names)} each want {run.quantity} of {total} tickets.",
            "Nothing has been sold yet.",
        ],
        "",
        ledgers[0],
        _columns(run, -1, names),
    )
    after = _View("the verdict", None, [], "", ledgers[-1], _columns(run, len(run.steps), names))
    return render(
        "step_through.html.j2",
        run=run,
        views=[before, *steps, after],
        names=names,
        look=look_of(run.kind),
        findings=findings(run),
        total=total,
    )


def _view(run: ScheduleRun, place: int, names: Sequence[str], ledger: _Ledger | None) -> _View:
    step = run.steps[place]
    who = names[step.session]
    said = [f"{who} runs {step.name}{_result(step, names, waits=bool(step.waited_for))}"]
    said += [
        f"That lets {names[other.session]}'s {other.name} go on{_result(other, names, waits=False)}"
        for other in run.steps[:place]
        if other.released_by == place
    ]
    return _View(
        name=f"{who}: {step.name}",
        session=step.session,
        sentences=said,
        sql=step.text,
        ledger=ledger,
        columns=_columns(run, place, names),
    )


def _result(step: Step, names: Sequence[str], *, waits: bool) -> str:
    if waits:
        return f" and has to wait for {blockers(step, names)}."
    read = result_of(step)
    if step.error:
        return f". It {read}."
    return f": {read}." if read else "."


def _columns(run: ScheduleRun, place: int, names: Sequence[str]) -> list[list[_Box]]:
    """Return each session's steps, as they stand after the step at *place*."""
    return [
        [
            _box(step, number, place, names)
            for number, step in enumerate(run.steps)
            if step.session == session
        ]
        for session in range(run.sessions)
    ]


def _box(step: Step, number: int, place: int, names: Sequence[str]) -> _Box:
    state, words = "done", result_of(step)
    if number > place:
        state, words = "to come", ""
    elif step.waited_for and (step.released_by is None or step.released_by > place):
        state, words = "waits", f"waits for {blockers(step, names)}"
    elif step.error:
        state, words = "failed", result_of(step)
    return _Box(number + 1, step.name, state, words, current=number == place)


def _ledgers(run: ScheduleRun, total: int) -> list[_Ledger | None]:
    """Return the ledger before the first step, after each, and at the end, drawn to one scale.

    None stands for a step without a snapshot.
    """
    taken = [
        Snapshot(total, total, issued=0, duplicates=0, consistent=True),
        *(step.after for step in run.steps),
        take_snapshot(run.ledger),
    ]
    scale = max(total, 1, *(one.issued for one in taken if one))
    return [
        _Ledger(
            ledger_words(one),
            one.issued,
            sold_share=min(one.issued, total) / scale,
            beyond_share=max(0, one.issued - total) / scale,
            total_share=total / scale,
        )
        if one
        else None
        for one in taken
    ]
