"""What the checker answers: a verdict per event, and each violation in it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

_LISTED = 6

Cause = Literal["race", "bad quantity", "partial failure", "repeated request"]
"""race: two purchases at a time read the same stock. bad quantity: not a positive multiple of 8.
partial failure: only some of a purchase was done. repeated request: one purchase, sold twice."""

Status = Literal["clean", "violated", "unknown"]


@dataclass(frozen=True)
class Violation:
    """Where the invariant does not hold: what kind, how many tickets, and examples.

    *purchases* is the smallest set that shows it: without any one of them, the others do not. A
    purchase is named by its id where the history has it, else by its buyer and numbers. Empty:
    no set of purchases shows it. *cause* is the cause for this set, and *reason* the evidence for
    it; None: the evidence does not prove one.
    """

    kind: str
    count: int
    message: str
    purchases: tuple[str, ...] = ()
    cause: Cause | None = None
    reason: str = ""


@dataclass(frozen=True)
class EventVerdict:
    """What was found of one event.

    *issued* counts tickets in rows and ranges; *unique* the different numbers among them;
    *duplicates* the rest. *oversold*: more were issued than the event has. *inconclusive* say why
    it could not be judged, or not in full: without a violation the verdict is then unknown,
    and when nothing could be counted the counts are 0. *not_checked* names checks
    that the schema has no columns for.
    """

    event: str
    total: int | None = None
    available: int | None = None
    next_ticket_number: int | None = None
    issued: int = 0
    unique: int = 0
    duplicates: int = 0
    oversold: bool = False
    violations: tuple[Violation, ...] = ()
    inconclusive: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """What can be said: a violation stands, whatever else is inconclusive."""
        if self.violations:
            return "violated"
        return "unknown" if self.inconclusive else "clean"

    @property
    def clean(self) -> bool:
        """Whether the invariant holds, and nothing is inconclusive."""
        return self.status == "clean"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return {**asdict(self), "status": self.status}


def listed(purchases: Sequence[str]) -> str:
    """Write *purchases* as a list that fits a line: the first ones, and how many more."""
    more = len(purchases) - _LISTED
    return ", ".join(purchases[:_LISTED]) + (f" and {more} more" if more > 0 else "")
