"""A run as lines for people: what each step read, whom it waited for, what it left."""

from collections.abc import Sequence

from ticketsvc.lab.explore.schedules import Event, Run

COLUMNS = ("step", "buyer", "statement", "read", "waited for", "ledger after it")

_SQLSTATES = {
    "22003": "number out of range",
    "23505": "unique violation",
    "23514": "check violation",
    "23P01": "exclusion violation",
    "40001": "serialization failure",
    "40P01": "deadlock",
}


def letters(run: Run) -> tuple[str, ...]:
    """Name each session by its buyers: A and B, or AB and CD where two share one."""
    each = max(1, len(run.answers) // run.sessions)
    return tuple(
        "".join(chr(ord("A") + each * place + number) for number in range(each))
        for place in range(run.sessions)
    )


def rows(run: Run) -> list[tuple[str, ...]]:
    """Return one row per step, as `COLUMNS` has them; the same each time the schedule is played."""
    names = letters(run)
    return [
        (
            str(place),
            names[event.session],
            event.name,
            what_it_read(event),
            waiting(event, names),
            event.tells,
        )
        for place, event in enumerate(run.events, start=1)
    ]


def what_it_read(event: Event) -> str:
    """Tell what came back: the first row, or how many rows were written, or the error."""
    if event.error:
        meaning = _SQLSTATES.get(event.error)
        return f"fails with {event.error}" + (f", {meaning}" if meaning else "")
    if event.read is not None:
        return ", ".join(f"{name} {value}" for name, value in event.read.items())
    if event.rows < 0:
        return ""
    return "1 row" if event.rows == 1 else f"{event.rows} rows"


def waiting(event: Event, names: Sequence[str]) -> str:
    """Tell for whom the step waited and which step let it go on."""
    if not event.waited_for:
        return ""
    until = "" if event.released_by is None else f" until step {event.released_by + 1}"
    return f"{blockers(event, names)}{until}"


def blockers(event: Event, names: Sequence[str]) -> str:
    """Tell for whom the step waited; *names*: as `letters` gives them."""
    return ", ".join(names[session] for session in event.waited_for)


def endings(run: Run) -> list[str]:
    """Tell what buyers were told, and what is wrong in the ledger, if anything is."""
    return [*map(str, run.answers), *findings(run)]


def findings(run: Run) -> list[str]:
    """Tell what the checker found: each violation, each doubt, or that all is clean."""
    violations = [f"{one.kind}: {one.message}" for one in run.verdict.violations]
    found = [*violations, *run.verdict.inconclusive]
    if found:
        return found
    if run.turned_away:
        return [f"clean, but turned away with {run.ledger.available} tickets left"]
    return ["clean"]


def in_short(run: Run) -> str:
    """Tell in a line how it ended, whether it is serial, and how many it stands for."""
    words = [run.kind]
    if run.serial:
        words.append("serial, one purchase after the other")
    if run.stands_for > 1:
        words.append(
            f"stands for {run.stands_for:,} schedules that differ only in the order of "
            "independent steps"
        )
    return "; ".join(words)
