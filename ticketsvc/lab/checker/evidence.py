"""What the search for causes comes to: the purchases, the cause, the reason."""

from collections.abc import Mapping
from typing import NamedTuple

from ticketsvc.lab.checker.verdicts import Cause


class Shown(NamedTuple):
    """The purchases that show a violation, and why it came about."""

    purchases: tuple[str, ...] = ()
    cause: Cause | None = None
    reason: str = ""

    @property
    def rank(self) -> tuple[int, bool]:
        """The fewer purchases the better, and then one with a cause."""
        return len(self.purchases), self.cause is None


def only(names: tuple[str, ...], reasons: Mapping[Cause, str]) -> Shown:
    """Return the one cause there is evidence of; where there are several, none is proved."""
    if len(reasons) != 1:
        return Shown(names)
    ((cause, reason),) = reasons.items()
    return Shown(names, cause, reason)


def together(one: str, other: str) -> str:
    """Say that two purchases were under way at one time."""
    return f"{one} and {other} were under way at the same time"
