"""One schedule, step by step, forward and back: who moves, who waits, what is in the ledger.

No script: see `fragments`. Reaches no database.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from IPython.display import HTML

from ticketsvc.lab.charts.outcomes import look_of
from ticketsvc.lab.explore.schedules import Event, Run
from ticketsvc.lab.explore.transcripts import blockers, findings, letters, what_it_read
from ticketsvc.lab.widgets.rendering import fill_in

_ISSUED = re.compile(r"issued (\d+)")


@dataclass(frozen=True)
class _Box:
    """One statement in a lane. *state*: done, now, waits, failed or to come."""

    number: int
    name: str
    state: str
    words: str
    current: bool


@dataclass(frozen=True)
class _Ledger:
    """What is committed, in words, and as shares of a bar; no bar where nothing is known."""

    words: str
    issued: int | None
    sold_share: float = 0.0
    beyond_share: float = 0.0
    total_share: float = 0.0


@dataclass(frozen=True)
class _Frame:
    name: str
    session: int | None
    sentences: Sequence[str]
    sql: str
    ledger: _Ledger
    lanes: Sequence[Sequence[_Box]]


def step_through(run: Run, *, total: int) -> HTML:
    """Show *run* one step at a time, from before the first to the verdict.

    *total*: the tickets of the event. The run has to be played with `tell=True`, or the frames
    say nothing of the ledger between the steps.
    """
    names = letters(run)
    ledgers = _ledgers(run, total)
    steps = [_frame(run, place, names, ledgers[place + 1]) for place in range(len(run.events))]
    before = _Frame(
        "before the first step",
        None,
        [
            f"{' and '.join(names)} each want {run.quantity} of {total} tickets.",
            "Nothing has been sold yet.",
        ],
        "",
        ledgers[0],
        _lanes(run, -1, names),
    )
    after = _Frame("the verdict", None, [], "", ledgers[-1], _lanes(run, len(run.events), names))
    return fill_in(
        "step_through.html.j2",
        run=run,
        frames=[before, *steps, after],
        names=names,
        look=look_of(run.kind),
        findings=findings(run),
        total=total,
    )


def _frame(run: Run, place: int, names: Sequence[str], ledger: _Ledger) -> _Frame:
    event = run.events[place]
    who = names[event.session]
    said = [f"{who} runs {event.name}{_result(event, names, waits=bool(event.waited_for))}"]
    said += [
        f"That lets {names[other.session]}'s {other.name} go on{_result(other, names, waits=False)}"
        for other in run.events[:place]
        if other.released_by == place
    ]
    return _Frame(
        name=f"{who}: {event.name}",
        session=event.session,
        sentences=said,
        sql=event.text,
        ledger=ledger,
        lanes=_lanes(run, place, names),
    )


def _result(event: Event, names: Sequence[str], *, waits: bool) -> str:
    if waits:
        return f" and has to wait for {blockers(event, names)}."
    read = what_it_read(event)
    if event.error:
        return f". It {read}."
    return f": {read}." if read else "."


def _lanes(run: Run, place: int, names: Sequence[str]) -> list[list[_Box]]:
    """Return each session's statements as they stand when the step at *place* has been taken."""
    return [
        [
            _box(event, number, place, names)
            for number, event in enumerate(run.events)
            if event.session == session
        ]
        for session in range(run.sessions)
    ]


def _box(event: Event, number: int, place: int, names: Sequence[str]) -> _Box:
    state, words = "done", what_it_read(event)
    if number > place:
        state, words = "to come", ""
    elif event.waited_for and (event.released_by is None or event.released_by > place):
        state, words = "waits", f"waits for {blockers(event, names)}"
    elif event.error:
        state, words = "failed", what_it_read(event)
    return _Box(number + 1, event.name, state, words, current=number == place)


def _ledgers(run: Run, total: int) -> list[_Ledger]:
    """Return the ledger before, after each step, and at the end, drawn to one scale."""
    told = [
        f"available {total}, issued 0",
        *(event.tells for event in run.events),
        f"available {run.ledger.available}, issued {run.verdict.issued}",
    ]
    found = [_ISSUED.search(words) for words in told]
    counts = [int(one[1]) if one else None for one in found]
    scale = max(total, 1, *(count for count in counts if count is not None))
    return [
        _Ledger(words, None)
        if count is None
        else _Ledger(
            words,
            count,
            sold_share=min(count, total) / scale,
            beyond_share=max(0, count - total) / scale,
            total_share=total / scale,
        )
        for words, count in zip(told, counts, strict=True)
    ]
