"""A run in words: the result of each step, what it waited for, the ledger after it."""

from collections.abc import Sequence

from ticketsvc.lab.explore.schedules import ScheduleRun, Step
from ticketsvc.lab.explore.snapshots import Snapshot

COLUMNS = ("step", "buyer", "statement", "result", "waited for", "ledger afterwards")

_SQLSTATES = {
    "22003": "number out of range",
    "23505": "unique violation",
    "23514": "check violation",
    "23P01": "exclusion violation",
    "40001": "serialization failure",
    "40P01": "deadlock",
}


def letters(run: ScheduleRun) -> tuple[str, ...]:
    """Return each session's name: A and B, or AB and CD where two buyers share a session."""
    each = max(1, len(run.answers) // run.sessions)
    return tuple(
        "".join(chr(ord("A") + each * place + number) for number in range(each))
        for place in range(run.sessions)
    )


def rows(run: ScheduleRun) -> list[tuple[str, ...]]:
    """Return one row per step, with a cell for each of `COLUMNS`.

    The same schedule has the same rows whenever it is run.
    """
    names = letters(run)
    return [
        (
            str(place),
            names[step.session],
            step.name,
            result_of(step),
            waiting(step, names),
            ledger_words(step.after) if step.after else "",
        )
        for place, step in enumerate(run.steps, start=1)
    ]


def result_of(step: Step) -> str:
    """Return the error, the first row that was read, or the number of rows written."""
    if step.error:
        meaning = _SQLSTATES.get(step.error)
        return f"fails with {step.error}" + (f", {meaning}" if meaning else "")
    if step.read is not None:
        return ", ".join(f"{name} {value}" for name, value in step.read.items())
    if step.rows < 0:
        return ""
    if step.rows == 0:
        return "no row"
    return "1 row written" if step.rows == 1 else f"{step.rows} rows written"


def ledger_words(snapshot: Snapshot) -> str:
    """Return the stock, the issued tickets, and how many of those are duplicates, if any."""
    duplicates = f", {snapshot.duplicates} of them duplicates" if snapshot.duplicates else ""
    return f"available {snapshot.available}, issued {snapshot.issued}{duplicates}"


def waiting(step: Step, names: Sequence[str]) -> str:
    """Return whose locks the step waited for, and until which step."""
    if not step.waited_for:
        return ""
    until = "" if step.released_by is None else f" until step {step.released_by + 1}"
    return f"{blockers(step, names)}{until}"


def blockers(step: Step, names: Sequence[str]) -> str:
    """Return the names, by `letters`, of the sessions whose locks the step waited for."""
    return ", ".join(names[session] for session in step.waited_for)


def endings(run: ScheduleRun) -> list[str]:
    """Return what the buyers were answered, then what the checker found."""
    return [*map(str, run.answers), *findings(run)]


def findings(run: ScheduleRun) -> list[str]:
    """Return each violation and each inconclusive point, or that the run is clean."""
    violations = [f"{one.kind}: {one.message}" for one in run.verdict.violations]
    found = [*violations, *run.verdict.inconclusive]
    if found:
        return found
    if run.refused_with_stock:
        return [f"clean, but a buyer was refused with {run.ledger.available} tickets left"]
    return ["clean"]


def summary(run: ScheduleRun) -> str:
    """Return the outcome, whether the schedule is serial, and how many it represents."""
    words = [run.kind]
    if run.serial:
        words.append("serial, one purchase after the other")
    if run.represents > 1:
        words.append(
            f"represents {run.represents:,} schedules that differ only in the order of "
            "independent steps, and end alike"
        )
    return "; ".join(words)
