"""A run in words: the result of each step, what it waited for, the ledger after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.explore.schedules import Run, ScheduleRun, Step
from ticketsvc.lab.outcome_looks import LOOKS, Look

COLUMNS = ("step", "buyer", "statement", "result", "waited for", "ledger afterwards")

_SQLSTATES = {
    "0A000": "not supported",
    "22003": "number out of range",
    "23503": "foreign key violation",
    "23505": "unique violation",
    "23514": "check violation",
    "23P01": "exclusion violation",
    "25P02": "in a failed transaction",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
}


@dataclass(frozen=True)
class Transcript:
    """What is shown of *run*, an executed schedule of an allocator or of a scenario.

    *look*: its outcome. *rows*: one per step, with a cell for each of *columns*. *before*: what is
    said before the first step. *ledgers*: before the first step, after each, and at the end; None
    where it was not read; empty where there is none.
    """

    run: Run
    look: Look
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    before: tuple[str, ...]
    answers: tuple[str, ...]
    findings: tuple[str, ...]
    ledgers: tuple[EventVerdict | None, ...] = ()

    @property
    def summary(self) -> str:
        """The outcome, whether the schedule is serial, and how many it represents."""
        words = [self.look.kind]
        if self.run.serial:
            words.append("serial, one after the other")
        if self.run.represents > 1:
            words.append(
                f"represents {self.run.represents:,} schedules that differ only in the order of "
                "independent steps, and end alike"
            )
        return "; ".join(words)


def transcript_of(run: ScheduleRun) -> Transcript:
    """Return what is shown of *run*, with its ledgers if it was executed with snapshots."""
    end = run.verdict
    start = EventVerdict(end.event, end.total, end.total)
    return Transcript(
        run=run,
        look=LOOKS[run.kind],
        columns=COLUMNS,
        rows=tuple(rows(run)),
        before=(
            f"{' and '.join(run.names)} each want {run.quantity} of {end.total} tickets.",
            "Nothing has been sold yet.",
        ),
        answers=tuple(map(str, run.answers)),
        findings=tuple(findings(run)),
        ledgers=(start, *(step.after for step in run.steps), end),
    )


def rows(run: ScheduleRun) -> list[tuple[str, ...]]:
    """Return one row per step, with a cell for each of `COLUMNS`.

    The same schedule has the same rows whenever it is run.
    """
    ledgers = [ledger_words(step.after) if step.after else "" for step in run.steps]
    named = rows_of(run, [step.name for step in run.steps])
    return [(*row, ledger) for row, ledger in zip(named, ledgers, strict=True)]


def rows_of(run: Run, statements: Sequence[str]) -> list[tuple[str, ...]]:
    """Return one row per step: its number, its session, its statement as given, what came of it."""
    return [
        (str(place), run.names[step.session], text, result_of(step), waiting(step, run.names))
        for place, (step, text) in enumerate(zip(run.steps, statements, strict=True), start=1)
    ]


def result_of(step: Step) -> str:
    """Return the error, what was read (of several rows the first), or the rows written."""
    if step.error:
        return f"fails with {error_in_words(step.error)}"
    if step.read is not None:
        row = ", ".join(f"{name} {value}" for name, value in step.read.items())
        return row if step.rows <= 1 else f"{row}; {step.rows} rows"
    if step.rows < 0:
        return ""
    if step.rows == 0:
        return "no row"
    return "1 row written" if step.rows == 1 else f"{step.rows} rows written"


def error_in_words(sqlstate: str) -> str:
    """Return an error's code, with what it means where that is known."""
    meaning = _SQLSTATES.get(sqlstate)
    return f"{sqlstate}, {meaning}" if meaning else sqlstate


def ledger_words(verdict: EventVerdict) -> str:
    """Return the stock, the issued tickets, and how many of those are duplicates, if any."""
    duplicates = f", {verdict.duplicates} of them duplicates" if verdict.duplicates else ""
    return f"available {verdict.available}, issued {verdict.issued}{duplicates}"


def every(schedules: int) -> str:
    """Return the subject and the verb of a sentence about all of so many schedules."""
    return "The only schedule is" if schedules == 1 else f"All {schedules:,} schedules are"


def waiting(step: Step, names: Sequence[str]) -> str:
    """Return whose locks the step waited for, and until which step."""
    if not step.waited_for:
        return ""
    until = "" if step.released_by is None else f" until step {step.released_by + 1}"
    return f"{blockers(step, names)}{until}"


def blockers(step: Step, names: Sequence[str]) -> str:
    """Return the names of the sessions whose locks the step waited for."""
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
