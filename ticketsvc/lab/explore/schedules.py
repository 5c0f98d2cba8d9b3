"""A schedule, one execution of it, and its id."""

import itertools
from dataclasses import dataclass, field

from ticketsvc.errors import UsageError
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.ledger.records import EventLedger

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # without i, l, o and u, which are easily misread


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a schedule: one statement of one session, or the end of its transaction.

    *name* and *text* are the statement's. *waited_for* names the sessions whose locks blocked
    it, and *released_by* is the position of the step that ended the wait. *error* is an
    SQLSTATE, *read* the first row returned, *rows* the number of rows returned or written (-1:
    the statement has none). *after* is the verdict on the ledger after the step, without the
    answers, if snapshots were taken: what a crash at that moment would leave.
    """

    session: int
    name: str
    text: str
    effect: Effect
    waited_for: tuple[int, ...] = ()
    released_by: int | None = None
    error: str | None = None
    read: dict[str, object] | None = None
    rows: int = -1
    after: EventVerdict | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one buyer was answered: the tickets, or an error's code and SQLSTATE."""

    buyer: str
    first: int = 0
    last: int = 0
    code: str = "sold"
    sqlstate: str | None = None

    @property
    def sold(self) -> bool:
        """Whether the buyer got tickets."""
        return self.code == "sold"

    def __str__(self) -> str:
        if self.sold:
            return f"{self.buyer}: {self.first}-{self.last}"
        return f"{self.buyer}: {self.code}" + (f" ({self.sqlstate})" if self.sqlstate else "")


@dataclass(frozen=True)
class Run:
    """One executed schedule: the names of its sessions, and its steps in order.

    *represents* counts the schedules of its class, this one included: they differ only in the
    order of independent steps, so they end alike, and only this one was executed. Where buyers
    were taken to be alike, it counts those too that differ only in which buyer is which.
    """

    names: tuple[str, ...]
    steps: tuple[Step, ...] = field(repr=False)
    represents: int = field(default=1, kw_only=True)

    @property
    def choices(self) -> tuple[int, ...]:
        """Return the session of each step."""
        return tuple(step.session for step in self.steps)

    @property
    def id(self) -> str:
        """Return the schedule's id: a short word that `choices_of` reads back."""
        return schedule_id(self.choices, len(self.names))

    @property
    def switches(self) -> int:
        """Count the steps that another session took than the step before."""
        return sum(a != b for a, b in itertools.pairwise(self.choices))

    @property
    def serial(self) -> bool:
        """Whether each session ended before the next one began."""
        return self.switches == len(set(self.choices)) - 1

    @property
    def blocked(self) -> bool:
        """Whether a step waited for another session's lock."""
        return any(step.waited_for for step in self.steps)

    @property
    def retries(self) -> int:
        """Count the failed steps after which their session went on."""
        return sum(
            step.error is not None
            and any(
                later.session == step.session and later.name != "ROLLBACK"
                for later in self.steps[place:]
            )
            for place, step in enumerate(self.steps, start=1)
        )


@dataclass(frozen=True)
class ScheduleRun(Run):
    """One schedule of a case: with the buyers' answers, and the ledger at the end."""

    answers: tuple[Answer, ...]
    ledger: EventLedger
    verdict: EventVerdict
    quantity: int

    @property
    def refused(self) -> bool:
        """Whether a buyer was refused."""
        return not all(answer.sold for answer in self.answers)

    @property
    def refused_with_stock(self) -> bool:
        """Whether a buyer was refused although enough tickets were left at the end."""
        left = self.ledger.available or 0
        return self.refused and left >= self.quantity

    @property
    def crash_inconsistent(self) -> bool:
        """Whether a crash between two steps would leave an inconsistent ledger."""
        return any(step.after is not None and not step.after.clean for step in self.steps)

    @property
    def kind(self) -> str:
        """Name the outcome by the worst that is true of it; one of `outcome_looks.LOOKS`."""
        kinds = {violation.kind for violation in self.verdict.violations}
        if self.verdict.clean:
            return "refused with stock" if self.refused_with_stock else "clean"
        duplicate = "duplicate" in kinds
        if self.verdict.oversold:
            return "oversold, duplicate" if duplicate else "oversold"
        return "duplicate" if duplicate else "other violation"

    @property
    def outcome(self) -> tuple[object, ...]:
        """Return everything that the schedules of a class have in common, as a key."""
        kinds = tuple(sorted(violation.kind for violation in self.verdict.violations))
        issues = tuple(sorted((i.user, i.first, i.last) for i in self.ledger.issues))
        return (self.answers, kinds, self.ledger.available, issues, self.blocked, self.retries)


def schedule_id(choices: tuple[int, ...], sessions: int) -> str:
    """Return a short word for the order of *sessions*; `choices_of` reads it."""
    number = 1  # a leading one keeps leading zeros
    for session in choices:
        number = number * sessions + session
    word = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        word = _DIGITS[digit] + word
    return word


def choices_of(word: str, sessions: int) -> tuple[int, ...]:
    """Return the order that `schedule_id` wrote; raise `UsageError` when *word* is not an id."""
    number = 0
    for digit in word.lower():
        place = _DIGITS.find(digit)
        if place < 0:
            raise UsageError(f"--replay {word!r}: not a schedule id")
        number = number * len(_DIGITS) + place
    choices: list[int] = []
    while number > 1:
        number, session = divmod(number, sessions)
        choices.append(session)
    if number != 1:
        raise UsageError(f"--replay {word!r}: not the id of a schedule of {sessions} buyers")
    return tuple(reversed(choices))
