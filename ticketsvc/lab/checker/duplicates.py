"""Find which purchases share a number, and whether it was a race."""

from collections.abc import Mapping, Sequence

from ticketsvc.lab.checker.accounts import Account
from ticketsvc.lab.checker.drift import Share
from ticketsvc.lab.checker.evidence import Witness, only, together
from ticketsvc.lab.checker.purchases import PurchaseRecord
from ticketsvc.lab.checker.spans import overlapping_pairs
from ticketsvc.lab.checker.verdicts import Cause


def find_duplicate(
    accounts: Sequence[Account], negative_quantities: Sequence[Share], partial: Mapping[str, Share]
) -> Witness:
    """Find the fewest purchases that hold a number twice: one alone, or else two.

    Among equally few, those with a cause come first.
    """
    owned = sorted((span, place) for place, one in enumerate(accounts) for span in one.spans)
    best = Witness()
    for place, other in overlapping_pairs(owned):
        if place != other:
            found = _shared(accounts[place], accounts[other], negative_quantities, partial)
        else:
            found = _held_twice(accounts[place])
        if not best.purchases or found.rank < best.rank:
            best = found
    return best


def _held_twice(one: Account) -> Witness:
    """One purchase that holds its quantity several times was sold several times."""
    if one.record and one.times > 1:
        return Witness((one.name,), "repeated request", one.record.repeated(one.name))
    return Witness((one.name,))


def _shared(
    one: Account, other: Account, negative_quantities: Sequence[Share], partial: Mapping[str, Share]
) -> Witness:
    """Return what gave two purchases the same number, if there is one explanation.

    A race: both were in flight together, and both were answered with the number. A bad quantity:
    it added stock before the later of the two was answered, and that stock is issued again. A
    partial failure: the pool did not count the rows of a purchase that failed before the other
    was sent. A repeated request: it holds numbers that were not in its answer.
    """
    names = (one.name, other.name)
    first, second = one.record, other.record
    if first is None or second is None:
        return Witness(names)
    reasons: dict[Cause, str] = {}
    overlap = first.overlaps(second)
    if overlap and first.outcome == second.outcome == "ok" and _may_share(first, second):
        reasons["race"] = together(*names)
    for negative in negative_quantities:
        record = negative.account.record
        if record is None or record.sent_s < max(first.answered_s, second.answered_s):
            reasons["bad quantity"] = negative.reason
            break
    half = partial.get(one.name) or partial.get(other.name)
    if half and not overlap:
        reasons["partial failure"] = half.reason
    for account in (one, other):
        if account.record and account.times > 1:
            reasons["repeated request"] = account.record.repeated(account.name)
    return only(names, reasons)


def _may_share(first: PurchaseRecord, second: PurchaseRecord) -> bool:
    """Return whether both answers may have one number; an answer without numbers may mean any."""
    return not (first.acknowledged and second.acknowledged) or not set(
        first.acknowledged
    ).isdisjoint(second.acknowledged)


def raced_for_the_last(chosen: Sequence[Account]) -> str:
    """Return the evidence that the last one sent of *chosen* raced; empty: there is none.

    Without any one of them, the others fit the total. If all others had been answered when the last
    was sent, a check of the stock would have seen them, and it was no race.
    """
    records = [
        (one.record, one.name) for one in chosen if one.record and one.record.outcome == "ok"
    ]
    if len(records) < len(chosen):
        return ""
    last, name = max(records, key=lambda pair: pair[0].sent_s)
    for other, rival in records:
        if other is not last and other.overlaps(last):
            return together(rival, name)
    return ""
