"""The purchases that wait for one event, in order of arrival, and the batches taken from them."""

import asyncio
from collections import deque
from copy import copy
from dataclasses import dataclass, field

from ticketsvc.database.trace import traced_purchase
from ticketsvc.errors import (
    EventNotFound,
    KeyUsed,
    RefusedByDatabase,
    SoldOut,
    TicketsvcError,
)
from ticketsvc.purchases import Purchase, TicketRange


@dataclass(slots=True, eq=False)
class QueuedPurchase:
    """A purchase, and the future that its caller awaits."""

    purchase: Purchase
    answer: "asyncio.Future[TicketRange]"
    trace: str | None = field(default_factory=traced_purchase)

    def sell(self, first: int) -> None:
        """Hand the tickets from number *first* to the caller, unless it was cancelled."""
        if not self.answer.done():
            self.answer.set_result(TicketRange(first, first + self.purchase.quantity - 1))

    def refuse(self, problem: Exception) -> None:
        """Raise a copy of *problem* at the caller, unless it was cancelled or has its outcome."""
        if not self.answer.done():
            self.answer.set_exception(copy(problem))


@dataclass(slots=True, eq=False)
class EventQueue:
    """The purchases of one event that are not in flight yet."""

    event: str
    waiting: deque[QueuedPurchase] = field(default_factory=deque)

    def take(self, limit: int) -> "Batch":
        """Remove up to *limit* purchases and return them; drop those whose caller was cancelled."""
        batch = Batch(self)
        while self.waiting and len(batch.members) < limit:
            queued = self.waiting.popleft()
            if not queued.answer.done():
                batch.members.append(queued)
        return batch


@dataclass(slots=True, eq=False)
class Batch:
    """The purchases of one event queue that commit together."""

    queue: EventQueue
    members: list[QueuedPurchase] = field(default_factory=list)

    def answer(self, first_tickets: list[int | None], refusals: list[str] | None) -> bool:
        """Answer each caller as `reserve` decided; False, and none: the pool row was busy."""
        if refusals and refusals[0] == "busy":
            return False
        for position, (queued, first) in enumerate(zip(self.members, first_tickets, strict=True)):
            if first is not None:
                queued.sell(first)
            elif refusals:
                queued.refuse(_refusal(refusals[position], self.queue.event))
        return True

    def fail(self, problem: Exception) -> None:
        """Raise *problem* at every caller that has no outcome yet."""
        for queued in self.members:
            queued.refuse(problem)


def _refusal(reason: str, event: str) -> TicketsvcError:
    if reason == "key_used":
        return KeyUsed()
    if reason == "sold_out":
        return SoldOut()
    if reason == "event_not_found":
        return EventNotFound(event)
    return RefusedByDatabase(f"the database refused it: {reason}")
