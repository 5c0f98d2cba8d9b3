"""Find the fewest purchases that explain why pool and rows differ."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ticketsvc.lab.checker.accounts import Account
from ticketsvc.lab.checker.verdicts import Cause

# How many purchases with the same effect are examined, and how many in all.
_ALIKE, _AT_MOST = 8, 64
_SUMS = 2_000


class Share(NamedTuple):
    """What one purchase adds to (what the pool says is sold) - (what is issued), and why."""

    account: Account
    tickets: int
    cause: Cause | None
    reason: str


def certain(account: Account) -> list[Share]:
    """Return what *account* must have added, by its rows and answer; several are alternatives.

    A range that ends before it begins, or a negative quantity that was answered ok, added
    stock. What was answered ok the pool counted as asked for; what was refused, or has only some
    of its rows, it did not count, or counted in full.
    """
    record, held = account.record, len(account)
    if account.backward:
        reason = f"{account.name} holds a range that ends before it begins"
        return [Share(account, -account.given_back, "bad quantity", reason)]
    if record is None:
        return []
    left = f"left {held} of {record.quantity} tickets"
    # Sold without a number or a row.
    silent = held == 0 and not record.acknowledged and record.wanted > 0
    if record.outcome == "ok" and held != record.quantity and not silent:
        wanted = record.quantity
        cause: Cause | None = None
        reason = f"{account.name} was sold, and {left}"
        if record.bad_quantity:
            cause, reason = "bad quantity", f"{account.name} asked for {wanted}, and was sold"
        elif account.times > 1:
            cause = "repeated request"
            reason = f"{account.name} holds its {wanted} tickets {account.times} times"
        return [Share(account, wanted - held, cause, reason)]
    if record.outcome in ("refused", "failed") and held:
        cause = "partial failure" if record.outcome == "refused" else None
        return [Share(account, -held, cause, f"{account.name} was {record.outcome}, and {left}")]
    if record.outcome == "unknown" and 0 < held < record.quantity:
        reason = f"{account.name} had no answer, and {left}"
        return [
            Share(account, -held, "partial failure", reason),
            Share(account, record.quantity - held, "partial failure", reason),
        ]
    return []


def possible(account: Account) -> list[Share]:
    """Return what *account* may have added although its rows and answer agree.

    The pool may have counted what left no row, or not counted what left all of them; of a
    purchase that was sent again it may have counted each attempt.
    """
    record, held = account.record, len(account)
    if record is None or record.outcome == "failed":
        return []
    wanted = record.quantity
    ended = {"ok": "was sold", "refused": "was refused"}.get(record.outcome, "had no answer")
    tickets, what = 0, ""
    cause: Cause | None = None
    if record.outcome == "ok" and held == 0:
        tickets, what = wanted, "without a number and without a row"
    elif record.outcome == "ok" and held == wanted and record.attempts > 1:
        tickets, cause, what = wanted, "repeated request", f"and sent {record.attempts} times"
    elif record.outcome != "ok" and wanted < 0:
        tickets, cause, what = wanted, "bad quantity", f"and had asked for {wanted}"
    elif record.outcome != "ok" and held in (0, wanted):
        tickets, cause = (-held if held else wanted), "partial failure"
        what = f"and holds {held} of {wanted} tickets"
    return [Share(account, tickets, cause, f"{account.name} {ended}, {what}")] if tickets else []


def explain_drift(
    accounts: Sequence[Account], drift: int
) -> tuple[tuple[Share, ...], Cause | None] | None:
    """Return the fewest purchases whose shares add up to *drift*, and their cause.

    What is certain comes before what is only possible. The cause is None when as few purchases
    explain the drift by different causes. None at all when nothing adds up.
    """
    sure: list[list[Share]] = []
    unanswered: list[list[Share]] = []
    others: list[list[Share]] = []
    for account in accounts:
        if shares := certain(account):
            sure.append(shares)
        elif shares := possible(account):
            silent = account.record is not None and account.record.outcome == "unknown"
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
