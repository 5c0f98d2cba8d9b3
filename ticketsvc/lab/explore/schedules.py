"""What a schedule is, what one execution of it left behind, and its short name."""

from dataclasses import dataclass, field

from ticketsvc.errors import UsageError
from ticketsvc.lab.checker.check import EventVerdict
from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.ledger.records import EventLedger

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # none that looks like another


@dataclass(slots=True)
class Event:
    """One step as it was taken: one statement of one session, or the end of a transaction.

    *name* and *text*: the statement. *waited_for*: whose locks it was blocked by, if it was.
    *released_by*: the position of the step that let it go on. *error*: SQLSTATE. *read*: the
    first row that came back, by column. When it was asked for, *tells*: the ledger after it, in
    words, and *torn*: whether that is one which no purchase, done or not begun, accounts for.
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
    tells: str = ""
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one buyer was told: the tickets, or the code of an error and its SQLSTATE."""

    buyer: str
    first: int = 0
    last: int = 0
    code: str = "sold"
    sqlstate: str | None = None

    @property
    def sold(self) -> bool:
        """Whether tickets were promised."""
        return self.code == "sold"

    def __str__(self) -> str:
        if self.sold:
            return f"{self.buyer}: {self.first}-{self.last}"
        return f"{self.buyer}: {self.code}" + (f" ({self.sqlstate})" if self.sqlstate else "")


@dataclass(frozen=True)
class Run:
    """One schedule, executed: its steps in order, what buyers were told, what is in the ledger.

    *choices*: which session went next, step by step. *stands_for*: so many schedules differ
    from it only in the order of independent steps, itself included.
    """

    sessions: int
    events: tuple[Event, ...] = field(repr=False)
    answers: tuple[Answer, ...]
    ledger: EventLedger
    verdict: EventVerdict
    quantity: int
    stands_for: int = 1

    @property
    def choices(self) -> tuple[int, ...]:
        """Return the sessions in the order of their steps."""
        return tuple(event.session for event in self.events)

    @property
    def id(self) -> str:
        """Return the schedule's short name."""
        return schedule_id(self.choices, self.sessions)

    @property
    def serial(self) -> bool:
        """Whether each session finished before the next one began."""
        switches = sum(a != b for a, b in zip(self.choices, self.choices[1:], strict=False))
        return switches == len(set(self.choices)) - 1

    @property
    def refused(self) -> bool:
        """Whether a buyer was turned away."""
        return not all(answer.sold for answer in self.answers)

    @property
    def turned_away(self) -> bool:
        """Whether a buyer was turned away while enough tickets were left for it at the end."""
        left = self.ledger.available or 0
        return self.refused and left >= self.quantity

    @property
    def blocked(self) -> bool:
        """Whether a step had to wait for another purchase's lock."""
        return any(event.waited_for for event in self.events)

    @property
    def torn(self) -> bool:
        """Whether a process that died half-way would have left a ledger that is not clean."""
        return any(event.torn for event in self.events)

    @property
    def retries(self) -> int:
        """Count the steps that failed after which their session went on."""
        last = {event.session: place for place, event in enumerate(self.events)}
        return sum(
            event.error is not None and place < last[event.session]
            for place, event in enumerate(self.events)
        )

    @property
    def kind(self) -> str:
        """Name the outcome in one word: the worst that is true of it."""
        kinds = {violation.kind for violation in self.verdict.violations}
        if self.verdict.clean:
            return "turned away" if self.turned_away else "clean"
        if self.verdict.oversold:
            return "oversold"
        return "duplicate" if "duplicate" in kinds else "other violation"

    @property
    def outcome(self) -> tuple[object, ...]:
        """Return all that a schedule can differ in, as a key to compare."""
        kinds = tuple(sorted(violation.kind for violation in self.verdict.violations))
        issues = tuple(sorted((i.user, i.first, i.last) for i in self.ledger.issues))
        return (self.answers, kinds, self.ledger.available, issues, self.blocked, self.retries)


def schedule_id(choices: tuple[int, ...], sessions: int) -> str:
    """Write the order of sessions as a short word; `choices_of` reads it."""
    number = 1  # a leading one keeps leading zeros
    for session in choices:
        number = number * sessions + session
    word = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        word = _DIGITS[digit] + word
    return word


def choices_of(word: str, sessions: int) -> tuple[int, ...]:
    """Read what `schedule_id` wrote; raise `UsageError` when it is no such word."""
    number = 0
    for digit in word.lower():
        place = _DIGITS.find(digit)
        if place < 0:
            raise UsageError(f"--replay {word!r}: not the id of a schedule")
        number = number * len(_DIGITS) + place
    choices: list[int] = []
    while number > 1:
        number, session = divmod(number, sessions)
        choices.append(session)
    if number != 1:
        raise UsageError(f"--replay {word!r}: not the id of a schedule of {sessions} buyers")
    return tuple(reversed(choices))
