"""A run as lines for people: what each step read, whom it waited for, what it left."""

from collections.abc import Sequence

from ticketsvc.lab.explore.runs import Event, Run

COLUMNS = ("step", "buyer", "statement", "read", "waited for", "ledger after it")


def letter(session: int) -> str:
    """Name a session."""
    return chr(ord("A") + session)


def rows(run: Run) -> list[tuple[str, ...]]:
    """Give one row per step, as `COLUMNS` has them; the same each time the schedule is played."""
    return [
        (
            str(place),
            letter(event.session),
            event.name,
            what_it_read(event),
            waiting(event, run.events),
            event.tells,
        )
        for place, event in enumerate(run.events, start=1)
    ]


def what_it_read(event: Event) -> str:
    """Tell what came back: the first row, or how many rows were written, or the error."""
    if event.error:
        return f"fails with {event.error}"
    if event.read is not None:
        return ", ".join(f"{name} {value}" for name, value in event.read.items())
    return "" if event.rows < 0 else f"{event.rows} rows"


def waiting(event: Event, events: Sequence[Event]) -> str:
    """Tell for whom the step waited and which step let it go on."""
    if not event.waited_for:
        return ""
    names = ", ".join(letter(session) for session in event.waited_for)
    until = "" if event.released_by is None else f" until step {event.released_by + 1}"
    return f"{names}{until}"


def endings(run: Run) -> list[str]:
    """Tell what buyers were told, and what is wrong in the ledger, if anything is."""
    told = [str(answer) for answer in run.answers]
    found = [f"{violation.kind}: {violation.message}" for violation in run.verdict.violations]
    return [*told, *(found or ["clean"])]
