"""Who waits for which event, in order of arrival."""

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
class Waiting:
    """A purchase whose caller waits for `answer`; told `outcome` once it has one."""

    purchase: Purchase
    answer: "asyncio.Future[TicketRange]"
    trace: str | None = field(default_factory=traced_purchase)
    outcome: TicketRange | Exception | None = None

    def tell(self) -> None:
        """Return the caller the outcome, unless it has left."""
        if self.answer.done():
            return
        if isinstance(self.outcome, TicketRange):
            self.answer.set_result(self.outcome)
        else:  # none: its batch was cancelled with the loop, or met a bug
            self.answer.set_exception(self.outcome or OutcomeUnknown())


@dataclass(slots=True, eq=False)
class Line:
    """Who waits for one event and is not under way yet."""

    event: str
    waiting: deque[Waiting] = field(default_factory=deque)

    def take(self, most: int) -> "Batch":
        """Take up to *most* out of the line; whoever has left is passed over."""
        batch = Batch(self)
        while self.waiting and len(batch.members) < most:
            one = self.waiting.popleft()
            if not one.answer.done():
                batch.members.append(one)
        return batch

    def turn_away(self, problem: Unavailable) -> None:
        """Refuse everybody who waits: of none of them anything was sent."""
        batch = self.take(len(self.waiting))
        batch.fail(problem)
        batch.tell()


@dataclass(slots=True, eq=False)
class Batch:
    """Those of one line who commit together."""

    line: Line
    members: list[Waiting] = field(default_factory=list)

    def take_answer(self, first_tickets: list[int | None], refusals: list[str] | None) -> bool:
        """Return everybody the outcome that the database has decided; False: it was busy."""
        if refusals and refusals[0] == "busy":
            return False
        for position, (one, first) in enumerate(zip(self.members, first_tickets, strict=True)):
            if first is not None:
                one.outcome = TicketRange(first, first + one.purchase.quantity - 1)
            elif refusals:
                one.outcome = _refusal(refusals[position], self.line.event)
        return True

    def fail(self, problem: Exception) -> None:
        """Let *problem* be everybody's outcome, each with a copy to raise."""
        for one in self.members:
            one.outcome = copy(problem)

    def tell(self) -> None:
        """Answer every caller."""
        for one in self.members:
            one.tell()


def _refusal(reason: str, event: str) -> TicketsvcError:
    if reason == "key_used":
        return KeyUsed()
    if reason == "sold_out":
        return SoldOut()
    if reason == "event_not_found":
        return EventNotFound(event)
    return RefusedByDatabase(f"the database refused it: {reason}")
