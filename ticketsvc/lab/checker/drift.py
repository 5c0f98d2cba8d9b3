"""Which purchases the pool counted otherwise than the rows did: the fewest that explain a drift."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ticketsvc.lab.checker.accounts import Holding
from ticketsvc.lab.checker.verdicts import Cause

# Of purchases that are alike in this, so many are looked at, and so many in all.
_ALIKE, _AT_MOST = 8, 64
_SUMS = 2_000


class Share(NamedTuple):
    """What one purchase adds to (what the pool says is sold) - (what is issued), and why."""

    holding: Holding
    tickets: int
    cause: Cause | None
    reason: str


def certain(holding: Holding) -> list[Share]:
    """Return what *holding* must have added, by what is plain to see of it; each a possibility.

    A range that ends before it begins, or a negative quantity that was answered ok, gave stock
    back. What was answered ok the pool counted as asked for; what was refused, or has only some
    of its rows, it did not count, or counted in full.
    """
    asked, held = holding.asked, len(holding)
    if holding.backward:
        reason = f"{holding.name} holds a range that ends before it begins"
        return [Share(holding, -holding.minted, "bad quantity", reason)]
    if asked is None:
        return []
    left = f"left {held} of {asked.quantity} tickets"
    silent = held == 0 and not asked.told and asked.wanted > 0  # sold, it says: no number, no row
    if asked.outcome == "ok" and held != asked.quantity and not silent:
        wanted = asked.quantity
        cause: Cause | None = None
        reason = f"{holding.name} was sold, and {left}"
        if asked.bad_quantity:
            cause, reason = "bad quantity", f"{holding.name} asked for {wanted}, and was sold"
        elif holding.times > 1:
            cause = "repeated request"
            reason = f"{holding.name} holds its {wanted} tickets {holding.times} times"
        return [Share(holding, wanted - held, cause, reason)]
    if asked.outcome in ("refused", "failed") and held:
        cause = "partial failure" if asked.outcome == "refused" else None
        return [Share(holding, -held, cause, f"{holding.name} was {asked.outcome}, and {left}")]
    if asked.outcome == "unknown" and 0 < held < asked.quantity:
        reason = f"{holding.name} had no answer, and {left}"
        return [
            Share(holding, -held, "partial failure", reason),
            Share(holding, asked.quantity - held, "partial failure", reason),
        ]
    return []


def possible(holding: Holding) -> list[Share]:
    """Return what *holding* may have added although nothing of it looks wrong.

    The pool may have counted what left no row, or not counted what left all of them; of a
    purchase that was sent again it may have counted each attempt.
    """
    asked, held = holding.asked, len(holding)
    if asked is None or asked.outcome == "failed":
        return []
    wanted = asked.quantity
    ended = {"ok": "was sold", "refused": "was refused"}.get(asked.outcome, "had no answer")
    tickets, what = 0, ""
    cause: Cause | None = None
    if asked.outcome == "ok" and held == 0:
        tickets, what = wanted, "without a number and without a row"
    elif asked.outcome == "ok" and held == wanted and asked.attempts > 1:
        tickets, cause, what = wanted, "repeated request", f"and sent {asked.attempts} times"
    elif asked.outcome != "ok" and wanted < 0:
        tickets, cause, what = wanted, "bad quantity", f"and had asked for {wanted}"
    elif asked.outcome != "ok" and held in (0, wanted):
        tickets, cause = (-held if held else wanted), "partial failure"
        what = f"and holds {held} of {wanted} tickets"
    return [Share(holding, tickets, cause, f"{holding.name} {ended}, {what}")] if tickets else []


def explain_drift(
    holdings: Sequence[Holding], drift: int
) -> tuple[tuple[Share, ...], Cause | None] | None:
    """Return the fewest purchases whose shares add up to *drift*, and their cause.

    What is certain comes before what is only possible. The cause is None when as few purchases
    explain the drift by different causes. None at all when nothing adds up.
    """
    sure: list[list[Share]] = []
    unanswered: list[list[Share]] = []
    others: list[list[Share]] = []
    for holding in holdings:
        if shares := certain(holding):
            sure.append(shares)
        elif shares := possible(holding):
            silent = holding.asked is not None and holding.asked.outcome == "unknown"
            (unanswered if silent else others).append(shares)
    found = _fewest(sure, drift) or _fewest([*sure, *unanswered, *others], drift)
    if found is None and sure and all(len(shares) == 1 for shares in sure):
        everything = tuple(shares[0] for shares in sure if shares[0].tickets)
        if sum(share.tickets for share in everything) == drift:
            found = everything, frozenset(share.cause for share in everything)
    if found is None:
        return None
    chosen, causes = found
    return chosen, next(iter(causes)) if len(causes) == 1 else None


def _fewest(
    options: Iterable[Sequence[Share]], wanted: int
) -> tuple[tuple[Share, ...], frozenset[Cause | None]] | None:
    """Choose at most one share of each option, as few as possible, that add up to *wanted*.

    With them come the causes of all choices as small. Looks at a bounded number of options.
    """
    alike: Counter[tuple[object, ...]] = Counter()
    chosen: list[Sequence[Share]] = []
    for shares in options:
        likeness = tuple((share.tickets, share.cause) for share in shares)
        alike[likeness] += 1
        if alike[likeness] <= _ALIKE and len(chosen) < _AT_MOST:
            chosen.append(shares)
    best: dict[int, tuple[tuple[Share, ...], frozenset[Cause | None]]] = {0: ((), frozenset())}
    for shares in chosen:
        for total, (before, causes) in list(best.items()):
            for share in shares:
                new, by = total + share.tickets, causes | {share.cause}
                known = best.get(new)
                fewer = known is None or len(before) + 1 < len(known[0])
                if fewer and (known or len(best) < _SUMS):
                    best[new] = (*before, share), by
                elif known and len(before) + 1 == len(known[0]):
                    best[new] = known[0], known[1] | by
    return best.get(wanted) if wanted else None
