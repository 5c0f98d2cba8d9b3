"""A schedule in words: its steps as rows, what buyers were told, what the checker found."""

from collections.abc import Sequence
from dataclasses import dataclass

from ticketsvc.lab.explore.runs import Event, Run

_SQLSTATES = {
    "22003": "number out of range",
    "23505": "unique violation",
    "23514": "check violation",
    "23P01": "exclusion violation",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
    "57014": "cancelled",
}


@dataclass(frozen=True)
class Step:
    """One step in words; an empty string where there is nothing to say.

    *number* counts from one, *session* from zero; *letters* name the session's buyers.
    """

    number: int
    session: int
    letters: str
    name: str
    sql: str
    read: str
    waited_for: str
    error: str
    tells: str


def letters_of(run: Run) -> tuple[str, ...]:
    """Name each session by its buyers: A and B, or AB and CD where two share one."""
    each = max(1, len(run.answers) // run.sessions)
    buyers = [answer.buyer for answer in run.answers]
    return tuple(
        "".join(buyers[place * each : (place + 1) * each]) or chr(ord("A") + place)
        for place in range(run.sessions)
    )


def steps_of(run: Run) -> list[Step]:
    """Put every step of *run* in words, in order."""
    letters = letters_of(run)
    return [
        Step(
            number=number,
            session=event.session,
            letters=letters[event.session],
            name=event.name,
            sql=event.text,
            read=read_by(event),
            waited_for=_waiting(event, letters),
            error=error_words(event.error),
            tells=event.tells,
        )
        for number, event in enumerate(run.events, start=1)
    ]


def read_by(event: Event) -> str:
    """Say what came back: the first row, or how many rows were touched."""
    if event.read is not None:
        values = ", ".join(
            f"{column} = {'NULL' if value is None else value}"
            for column, value in event.read.items()
        )
        return f"{values} (first of {event.rows} rows)" if event.rows > 1 else values
    if event.error or event.rows < 0:
        return ""
    return "1 row" if event.rows == 1 else f"{event.rows} rows"


def error_words(sqlstate: str | None) -> str:
    """Give an SQLSTATE with its meaning, where it is one that purchases meet."""
    return f"{sqlstate} {_SQLSTATES.get(sqlstate, '')}".rstrip() if sqlstate else ""


def named(places: Sequence[int], letters: Sequence[str]) -> str:
    """Name the sessions at *places*."""
    return " and ".join(letters[place] for place in places)


def findings(run: Run) -> list[str]:
    """Say what the checker found: each violation by its kind and message, or that none is."""
    found = [f"{one.kind}: {one.message}" for one in run.verdict.violations]
    if found:
        return found
    if run.turned_away:
        return [
            f"no violation, but a buyer of {run.quantity} was turned away "
            f"while {run.ledger.available} were left"
        ]
    return ["no violation"]


def in_short(run: Run) -> str:
    """Say of *run*, in a line, how it ended, whether it is serial, and what it stands for."""
    words = [run.kind]
    if run.serial:
        words.append("serial: one purchase after the other")
    if run.stands_for > 1:
        words.append(f"stands for {run.stands_for:,} schedules that differ in independent steps")
    return "; ".join(words)


def _waiting(event: Event, letters: Sequence[str]) -> str:
    if not event.waited_for:
        return ""
    until = "" if event.released_by is None else f", until step {event.released_by + 1}"
    return named(event.waited_for, letters) + until


COLUMNS = ("step", "buyer", "statement", "read", "waited for", "error", "ledger after it")


def rows(run: Run) -> list[tuple[str, ...]]:
    """Give one row per step, as `COLUMNS` has them; the same each time the schedule is played."""
    return [
        (
            str(step.number),
            step.letters,
            step.name,
            step.read,
            step.waited_for,
            step.error,
            step.tells,
        )
        for step in steps_of(run)
    ]


def endings(run: Run) -> list[str]:
    """Say what buyers were told, and what the checker found."""
    return [*map(str, run.answers), *findings(run)]
