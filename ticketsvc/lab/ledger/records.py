"""What a database holds of an event, as plain data: for those who judge it without one."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Issue:
    """Tickets *first* to *last* in one user's hands: one row of either table."""

    user: str
    first: int
    last: int


@dataclass(frozen=True)
class EventLedger:
    """All that a database holds of one event.

    *total*, *available* and *next_ticket_number* are None where the pool has no such column; the
    first two both are when tickets are there and the pool is not.
    """

    event: str
    total: int | None
    available: int | None
    next_ticket_number: int | None = None
    issues: Sequence[Issue] = field(default=(), repr=False)

    @property
    def has_pool(self) -> bool:
        """Whether a pool row was found."""
        return self.total is not None or self.available is not None
