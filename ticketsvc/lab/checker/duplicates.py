"""Two purchases with the same numbers, or of the last tickets: was it a race?"""

from collections.abc import Mapping, Sequence

from ticketsvc.lab.checker.accounts import Holding
from ticketsvc.lab.checker.drift import Share
from ticketsvc.lab.checker.evidence import Shown, only, together
from ticketsvc.lab.checker.purchases import Asked
from ticketsvc.lab.checker.spans import overlapping_pairs
from ticketsvc.lab.checker.verdicts import Cause


def find_duplicate(
    holdings: Sequence[Holding], minters: Sequence[Share], half_done: Mapping[str, Share]
) -> Shown:
    """Find the fewest purchases that hold a number twice: one by itself, or else two.

    Of those as few, one with a cause comes first: a burst has pairs that only followed.
    """
    owned = sorted((span, place) for place, one in enumerate(holdings) for span in one.spans)
    best = Shown()
    for place, other in overlapping_pairs(owned):
        if place != other:
            found = _collided(holdings[place], holdings[other], minters, half_done)
        else:
            found = _doubled(holdings[place])
        if not best.purchases or found.rank < best.rank:
            best = found
    return best


def _doubled(one: Holding) -> Shown:
    """One purchase cannot race with itself: it was sold again, if it has its quantity again."""
    if one.asked and one.times > 1:
        return Shown((one.name,), "repeated request", one.asked.repeated(one.name))
    return Shown((one.name,))


def _collided(
    one: Holding, other: Holding, minters: Sequence[Share], half_done: Mapping[str, Share]
) -> Shown:
    """Weigh what may have given two purchases the same number.

    A race takes two that were under way together, and were both acknowledged with the number.
    Stock that a bad quantity gave back before the later of the two was answered is issued again.
    So is what the pool did not count of a purchase that failed half-way before the other was
    sent. One that was sold again has numbers it was not told of.
    """
    names = (one.name, other.name)
    first, second = one.asked, other.asked
    if first is None or second is None:
        return Shown(names)
    reasons: dict[Cause, str] = {}
    overlap = first.overlaps(second)
    if overlap and first.outcome == second.outcome == "ok" and _may_share(first, second):
        reasons["race"] = together(*names)
    for minter in minters:
        asked = minter.holding.asked
        if asked is None or asked.sent_s < max(first.answered_s, second.answered_s):
            reasons["bad quantity"] = minter.reason
            break
    half = half_done.get(one.name) or half_done.get(other.name)
    if half and not overlap:
        reasons["partial failure"] = half.reason
    for holding in (one, other):
        if holding.asked and holding.times > 1:
            reasons["repeated request"] = holding.asked.repeated(holding.name)
    return only(names, reasons)


def _may_share(first: Asked, second: Asked) -> bool:
    """Tell whether both were told of one number; an answer without numbers may mean any."""
    return not (first.told and second.told) or not set(first.told).isdisjoint(second.told)


def raced_for_the_last(chosen: Sequence[Holding]) -> str:
    """Say that the last one sent of *chosen*, which are too many by any one, raced; or nothing.

    Without any one of them the others fit. If all others had been answered when the last was
    sent, a check of the stock would have seen them: then it was no race.
    """
    asked = [(one.asked, one.name) for one in chosen if one.asked and one.asked.outcome == "ok"]
    if len(asked) < len(chosen):
        return ""
    last, name = max(asked, key=lambda pair: pair[0].sent_s)
    for other, rival in asked:
        if other is not last and other.overlaps(last):
            return together(rival, name)
    return ""
