"""The purchases that wait for one event, in order of arrival, and the batches taken from them."""

import asyncio
from collections import deque
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field

from ticketsvc.database.trace import traced_purchase
from ticketsvc.errors import EventNotFound, KeyUsed, RefusedByDatabase, SoldOut, TicketsvcError
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


Batch = list[QueuedPurchase]
"""The purchases of one event, one or more, that commit together."""


def event_of(batch: Batch) -> str:
    """Return the event of all purchases of *batch*."""
    return batch[0].purchase.event_id


def take(queue: deque[QueuedPurchase], limit: int) -> Batch:
    """Remove up to *limit* purchases and return them; drop those whose caller was cancelled."""
    batch: Batch = []
    while queue and len(batch) < limit:
        queued = queue.popleft()
        if not queued.answer.done():
            batch.append(queued)
    return batch


def answer(batch: Batch, first_tickets: list[int | None], refusals: list[str] | None) -> bool:
    """Answer each caller as `reserve` decided; False, and none: the pool row was busy."""
    if refusals and refusals[0] == "busy":
        return False
    for position, (queued, first) in enumerate(zip(batch, first_tickets, strict=True)):
        if first is not None:
            queued.sell(first)
        elif refusals:
            queued.refuse(_refusal(refusals[position], queued.purchase.event_id))
    return True


def fail(purchases: Iterable[QueuedPurchase], problem: Exception) -> None:
    """Raise *problem* at every caller that has no outcome yet."""
    for queued in purchases:
        queued.refuse(problem)


def _refusal(reason: str, event: str) -> TicketsvcError:
    if reason == "key_used":
        return KeyUsed()
    if reason == "sold_out":
        return SoldOut()
    if reason == "event_not_found":
        return EventNotFound(event)
    return RefusedByDatabase(f"the database refused it: {reason}")
