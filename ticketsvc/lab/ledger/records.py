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

    *total* and *available* are None when tickets are there and the pool is not;
    *next_ticket_number* is None where the pool has no such column.
    """

    event: str
    total: int | None
    available: int | None
    next_ticket_number: int | None = None
    issues: Sequence[Issue] = field(default=(), repr=False)
