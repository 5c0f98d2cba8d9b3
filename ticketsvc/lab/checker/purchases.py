"""What a buyer asked for: attempts gathered into purchases."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ticketsvc.lab.workload.history import Attempt, Outcome, by_purchase, outcome_of
from ticketsvc.purchases import is_whole_blocks


class Asked(NamedTuple):
    """One purchase, whatever the number of attempts at it: what came of it in the end.

    *told* has a number as often as the answer that has it most often; *in_vain* counts the
    attempts that were not answered ok. *sent_s* is when the first attempt was sent,
    *answered_s* when the last one was answered.
    """

    purchase: str
    user: str
    quantity: int
    outcome: Outcome
    told: tuple[int, ...]
    attempts: int
    in_vain: int
    sent_s: float
    answered_s: float

    @property
    def bad_quantity(self) -> bool:
        """Whether its quantity breaks the rule: a positive multiple of 8."""
        return not is_whole_blocks(self.quantity)

    def overlaps(self, other: "Asked") -> bool:
        """Whether both were under way at one time: neither was answered before the other began."""
        return self.sent_s < other.answered_s and other.sent_s < self.answered_s

    def repeated(self, name: str) -> str:
        """Say, of a purchase that was sold more than once, how often it was sent."""
        if self.attempts > 1:
            return f"{name} was sent {self.attempts} times, and sold more than once"
        return f"{name} was acknowledged once, and sold more than once"

    @property
    def wanted(self) -> int:
        """How many tickets it may come to; a negative quantity asks for none."""
        return max(0, self.quantity)


def by_buyer(history: Iterable[Attempt]) -> dict[str, list[Asked]]:
    """Gather attempts into purchases, by buyer, in the order they were first sent."""
    buyers: dict[str, list[Asked]] = {}
    for tries in by_purchase(history):
        buyers.setdefault(tries[0].user, []).append(_asked(tries))
    for bought in buyers.values():
        bought.sort(key=lambda asked: asked.sent_s)
    return buyers


def _asked(tries: Sequence[Attempt]) -> Asked:
    one = tries[0]
    quantity, outcome, told = one.quantity, one.outcome, one.tickets
    if len(tries) > 1:
        outcome = outcome_of(tries)
        quantity = max(each.quantity for each in tries if each.outcome == outcome)
        often: Counter[int] = Counter()
        for each in tries:
            often |= Counter(each.tickets)
        told = tuple(sorted(often.elements()))
    sent_s = min(each.sent_s for each in tries)
    answered_s = max(each.answered_s for each in tries)
    in_vain = sum(each.outcome != "ok" for each in tries)
    return Asked(
        one.purchase, one.user, quantity, outcome, told, len(tries), in_vain, sent_s, answered_s
    )
