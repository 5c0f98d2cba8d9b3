"""The result of a search for causes: the purchases, the cause, the reason."""

from collections.abc import Mapping
from typing import NamedTuple

from ticketsvc.lab.checker.verdicts import Cause


class Witness(NamedTuple):
    """The fewest purchases that show a violation, and its cause."""

    purchases: tuple[str, ...] = ()
    cause: Cause | None = None
    reason: str = ""

    @property
    def rank(self) -> tuple[int, bool]:
        """The fewer purchases the better, and then one with a cause."""
        return len(self.purchases), self.cause is None


def only(names: tuple[str, ...], reasons: Mapping[Cause, str]) -> Witness:
    """Return the cause if there is exactly one; where there are several, none is proved."""
    if len(reasons) != 1:
        return Witness(names)
    ((cause, reason),) = reasons.items()
    return Witness(names, cause, reason)


def together(one: str, other: str) -> str:
    """Return the sentence that two purchases were in flight at the same time."""
    return f"{one} and {other} were in flight at the same time"
