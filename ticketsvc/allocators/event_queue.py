"""The purchases that wait for one event, in order of arrival, and the batches taken from them."""

import asyncio
from collections import deque
from copy import copy
from dataclasses import dataclass, field

from ticketsvc.database.trace import traced_purchase
from ticketsvc.errors import (
    EventNotFound,
    KeyUsed,
    OutcomeUnknown,
    RefusedByDatabase,
    SoldOut,
    TicketsvcError,
    Unavailable,
)
from ticketsvc.purchases import Purchase, TicketRange


@dataclass(slots=True, eq=False)
class QueuedPurchase:
    """A purchase, the future that its caller awaits, and its outcome once there is one."""

    purchase: Purchase
    answer: "asyncio.Future[TicketRange]"
    trace: str | None = field(default_factory=traced_purchase)
    outcome: TicketRange | Exception | None = None

    def reply(self) -> None:
        """Hand the outcome to the caller, unless it was cancelled."""
        if self.answer.done():
            return
        if isinstance(self.outcome, TicketRange):
            self.answer.set_result(self.outcome)
        else:  # no outcome: the batch was cancelled, or a bug ended it
            self.answer.set_exception(self.outcome or OutcomeUnknown())


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

    def refuse_all(self, problem: Unavailable) -> None:
        """Answer every waiting purchase with *problem*; nothing was sent for any of them."""
        batch = self.take(len(self.waiting))
        batch.fail(problem)
        batch.reply()


@dataclass(slots=True, eq=False)
class Batch:
    """The purchases of one event queue that commit together."""

    queue: EventQueue
    members: list[QueuedPurchase] = field(default_factory=list)

    def set_outcomes(self, first_tickets: list[int | None], refusals: list[str] | None) -> bool:
        """Set each outcome from what `reserve` returned; False: the pool row was busy."""
        if refusals and refusals[0] == "busy":
            return False
        for position, (queued, first) in enumerate(zip(self.members, first_tickets, strict=True)):
            if first is not None:
                queued.outcome = TicketRange(first, first + queued.purchase.quantity - 1)
            elif refusals:
                queued.outcome = _refusal(refusals[position], self.queue.event)
        return True

    def fail(self, problem: Exception) -> None:
        """Make *problem* the outcome of every purchase, each with a copy to raise."""
        for queued in self.members:
            queued.outcome = copy(problem)

    def split(self) -> "list[Batch]":
        """Return one batch for each purchase."""
        return [Batch(self.queue, [queued]) for queued in self.members]

    def reply(self) -> None:
        """Answer every caller."""
        for queued in self.members:
            queued.reply()


def _refusal(reason: str, event: str) -> TicketsvcError:
    if reason == "key_used":
        return KeyUsed()
    if reason == "sold_out":
        return SoldOut()
    if reason == "event_not_found":
        return EventNotFound(event)
    return RefusedByDatabase(f"the database refused it: {reason}")
