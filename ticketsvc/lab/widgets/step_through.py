"""The step-through: one schedule, one step at a time, forward and back.

It works without a script, see `rendering`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from IPython.display import HTML

from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.explore.schedules import Run, Step
from ticketsvc.lab.explore.transcripts import Transcript, blockers, ledger_words, result_of
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
class _View:
    name: str
    step: Step | None
    sentences: Sequence[str]
    ledger: EventVerdict | None
    columns: Sequence[Sequence[_Box]]


def step_through(shown: Transcript) -> HTML:
    """Show a schedule one step at a time, from before the first to the verdict.

    What is committed is drawn as a bar, with room for twice the total: so the mark of the total
    stands in the middle of every bar unless more were issued.
    """
    ledgers = shown.ledgers or [None] * (len(shown.run.steps) + 2)
    total = max((one.total or 0 for one in ledgers if one), default=0)
    steps = [_view(shown.run, place, ledgers[place + 1]) for place in range(len(shown.run.steps))]
    before = _View("before the first step", None, shown.before, ledgers[0], _columns(shown.run, -1))
    after = _View("the verdict", None, [], ledgers[-1], _columns(shown.run, len(shown.run.steps)))
    return render(
        "step_through.html.j2",
        shown=shown,
        views=[before, *steps, after],
        ledger_words=ledger_words,
        total=total,
        scale=max(2 * total, 1, *(one.issued for one in ledgers if one)),
    )


def _view(run: Run, place: int, ledger: EventVerdict | None) -> _View:
    step, names = run.steps[place], run.names
    who = names[step.session]
    said = [f"{who} runs {step.name}{_result(step, names, waits=bool(step.waited_for))}"]
    said += [
        f"That lets {names[other.session]}'s {other.name} go on{_result(other, names, waits=False)}"
        for other in run.steps[:place]
        if other.released_by == place
    ]
    return _View(f"{who}: {step.name}", step, said, ledger, _columns(run, place))


def _result(step: Step, names: Sequence[str], *, waits: bool) -> str:
    if waits:
        return f" and has to wait for {blockers(step, names)}."
    read = result_of(step)
    if step.error:
        return f". It {read}."
    return f": {read}." if read else "."


def _columns(run: Run, place: int) -> list[list[_Box]]:
    """Return each session's steps, as they stand after the step at *place*."""
    return [
        [
            _box(step, number, place, run.names)
            for number, step in enumerate(run.steps)
            if step.session == session
        ]
        for session in range(len(run.names))
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
