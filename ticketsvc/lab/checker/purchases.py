"""Gather the attempts of a history into purchases."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ticketsvc.lab.workload.history import Attempt, Outcome, by_purchase, outcome_of
from ticketsvc.purchases import is_whole_blocks


class PurchaseRecord(NamedTuple):
    """One purchase with all attempts at it, and its outcome.

    *acknowledged* are the numbers in its answers; *unsuccessful* counts the attempts that were not
    answered ok. *sent_s* is when the first attempt was sent, *answered_s* when the last one was
    answered. *bad_quantity*: the quantity is not a positive multiple of 8, or only not positive
    where that rule does not apply.
    """

    purchase: str
    user: str
    quantity: int
    outcome: Outcome
    acknowledged: tuple[int, ...]
    attempts: int
    unsuccessful: int
    sent_s: float
    answered_s: float
    bad_quantity: bool

    def overlaps(self, other: "PurchaseRecord") -> bool:
        """Whether both were in flight at the same time."""
        return self.sent_s < other.answered_s and other.sent_s < self.answered_s

    def repeated(self, name: str) -> str:
        """Return the sentence that it was sold more than once, and how often it was sent."""
        if self.attempts > 1:
            return f"{name} was sent {self.attempts} times, and sold more than once"
        return f"{name} was acknowledged once, and sold more than once"

    @property
    def wanted(self) -> int:
        """How many tickets it may get; a negative quantity asks for none."""
        return max(0, self.quantity)


def by_buyer(
    history: Iterable[Attempt], *, our_rules: bool = True
) -> dict[str, list[PurchaseRecord]]:
    """Gather attempts into purchases, by buyer, in the order they were first sent."""
    buyers: dict[str, list[PurchaseRecord]] = {}
    for tries in by_purchase(history):
        buyers.setdefault(tries[0].user, []).append(_record(tries, our_rules))
    for bought in buyers.values():
        bought.sort(key=lambda record: record.sent_s)
    return buyers


def _record(tries: Sequence[Attempt], our_rules: bool) -> PurchaseRecord:
    one = tries[0]
    quantity, outcome, acknowledged = one.quantity, one.outcome, one.tickets
    if len(tries) > 1:
        outcome = outcome_of(tries)
        quantity = max(each.quantity for each in tries if each.outcome == outcome)
        often: Counter[int] = Counter()
        for each in tries:
            often |= Counter(each.tickets)
        acknowledged = tuple(sorted(often.elements()))
    sent_s = min(each.sent_s for each in tries)
    answered_s = max(each.answered_s for each in tries)
    unsuccessful = sum(each.outcome != "ok" for each in tries)
    return PurchaseRecord(
        one.purchase,
        one.user,
        quantity,
        outcome,
        acknowledged,
        len(tries),
        unsuccessful,
        sent_s,
        answered_s,
        bad_quantity=quantity <= 0 or (our_rules and not is_whole_blocks(quantity)),
    )
