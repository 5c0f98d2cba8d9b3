"""Find which purchases show a violation, and its cause where the evidence proves one.

Race: two acknowledged purchases hold, or were answered with, the same numbers, and were in flight
at the same time; where one was answered before the other was sent, it was none. Repeated request:
one purchase holds its quantity several times. Bad quantity: a backward range, or a purchase that
took effect and whose quantity is not a positive multiple of 8. Partial failure: a purchase that
was refused or had no answer left rows, or was subtracted from the pool. Where two of these explain
a violation, or none does, the cause is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import inf

from ticketsvc.lab.checker.account_causes import AccountEvidence
from ticketsvc.lab.checker.accounts import Account, open_accounts
from ticketsvc.lab.checker.discrepancies import Discrepancy
from ticketsvc.lab.checker.drift import Share, certain, explain_drift
from ticketsvc.lab.checker.duplicates import find_duplicate, raced_for_the_last
from ticketsvc.lab.checker.evidence import Witness, only
from ticketsvc.lab.checker.purchases import PurchaseRecord
from ticketsvc.lab.checker.spans import Span, Tally, count
from ticketsvc.lab.checker.verdicts import Cause, Violation
from ticketsvc.lab.ledger.records import EventLedger

# A set of more purchases than this says nothing to a reader.
_MOST_NAMED = 1_000


def explain(
    violations: Sequence[Violation],
    ledger: EventLedger,
    buyers: Mapping[str, Sequence[PurchaseRecord]],
    tally: Tally,
    discrepancies: Sequence[Discrepancy],
) -> list[Violation]:
    """Complete each violation with the smallest set of purchases that shows it, and its cause."""
    accounts = open_accounts(ledger.issues, buyers)
    in_accounts = AccountEvidence(accounts, discrepancies)
    in_ledger = LedgerEvidence(ledger, accounts, tally)
    witnesses = [in_accounts.witness(one.kind) or in_ledger.witness(one.kind) for one in violations]
    return [
        replace(violation, **witness._asdict())
        for violation, witness in zip(violations, witnesses, strict=True)
    ]


class LedgerEvidence:
    """The evidence in one event's rows and pool, examined for one kind of violation at a time."""

    def __init__(self, ledger: EventLedger, accounts: Sequence[Account], tally: Tally) -> None:
        self._total, self._next = ledger.total or 0, ledger.next_ticket_number or 0
        self._sold = self._total - (ledger.available or 0)
        self._tally = tally
        self._copies = count(tally.copies)
        self._excess = tally.issued - self._total
        known = ledger.total is not None and ledger.available is not None
        self._off = self._sold - tally.issued if known else 0
        self._all = accounts
        self._holders = sorted((one for one in accounts if one.spans), key=_by_number)

    def witness(self, kind: str) -> Witness:
        """Return the smallest set of purchases that shows a violation of *kind*, and its cause."""
        kinds = {
            "orphan": self._orphan,
            "oversold": lambda: self._oversold,
            "negative_stock": lambda: self._oversold if self._excess > 0 else self._drift,
            "backward": self._backward,
            "duplicate": lambda: self._duplicate,
            "gap": self._gap,
            "out_of_range": self._out_of_range,
            "drift": lambda: self._drift,
            "next_number_drift": self._next_number_drift,
        }
        return kinds[kind]()

    @cached_property
    def _shares(self) -> tuple[tuple[Share, ...], Cause | None]:
        """By purchase, the difference between what the pool counted and what the rows hold."""
        return explain_drift(self._all, self._off) or ((), None)

    @cached_property
    def _negative_quantities(self) -> list[Share]:
        """Purchases that added to the stock: a negative quantity, or a backward range."""
        shares = [share for one in self._all for share in certain(one)]
        return [one for one in shares if one.cause == "bad quantity" and one.tickets < 0]

    @cached_property
    def _partial(self) -> dict[str, Share]:
        """Purchases whose rows the pool did not count, by name."""
        shares, cause = self._shares
        half = cause == "partial failure" and self._off < 0
        return {share.account.name: share for share in shares} if half else {}

    @cached_property
    def _duplicate(self) -> Witness:
        if not self._copies:
            return Witness()
        return find_duplicate(self._holders, self._negative_quantities, self._partial)

    @cached_property
    def _drift(self) -> Witness:
        """Name the purchases that explain the drift, or the fewest that hold more than was sold."""
        shares, cause = self._shares
        if shares:
            reason = shares[0].reason + (", and others are like it" if len(shares) > 1 else "")
            names = tuple(share.account.name for share in shares)
            return Witness(names, cause, reason if cause else "")
        if self._duplicate.cause == "race" and -self._off == self._copies:
            return self._duplicate
        return (
            Witness(self._names(self._fewest_with_more_than(self._sold)))
            if self._off < 0
            else Witness()
        )

    @cached_property
    def _oversold(self) -> Witness:
        """Name the fewest purchases that hold more than the total, and explain the excess."""
        chosen = self._fewest_with_more_than(self._total)
        if not chosen:
            return Witness(reason=f"it takes more than {_MOST_NAMED} purchases to show it")
        if self._copies >= self._excess:  # without the duplicates there would not be too many
            return self._duplicate._replace(purchases=self._names(chosen))
        reasons: dict[Cause, str] = {}
        for shares in (self._negative_quantities, [*self._partial.values()]):
            if shares and shares[0].cause and -sum(one.tickets for one in shares) >= self._excess:
                reasons[shares[0].cause] = shares[0].reason
        if race := raced_for_the_last(chosen):
            reasons["race"] = race
        return only(self._names(chosen), reasons)

    def _names(self, chosen: Sequence[Account]) -> tuple[str, ...]:
        return tuple(one.name for one in chosen)

    def _fewest_with_more_than(self, tickets: int) -> list[Account]:
        """Return the fewest accounts that hold more than *tickets* in all: the largest.

        Among accounts of one size, those with shared numbers or numbers out of range come first.
        """
        suspects = set(self._duplicate.purchases)

        def rank(one: Account) -> tuple[int, bool]:
            outside = one.spans[0][0] < 1 or one.spans[-1][1] > self._total
            return -len(one), not (outside or one.name in suspects)

        chosen: list[Account] = []
        for one in sorted(self._holders, key=rank):
            chosen.append(one)
            tickets -= len(one)
            if tickets < 0:
                return chosen
            if len(chosen) == _MOST_NAMED:
                break
        return []

    def _orphan(self) -> Witness:
        return Witness(self._names(self._holders[:1]))

    def _backward(self) -> Witness:
        one = next(one for one in self._all if one.backward)
        return Witness((one.name,), "bad quantity", f"{one.name} holds a range that runs backward")

    def _gap(self) -> Witness:
        """Name the purchase with the next number: those before it are missing."""
        missing = self._tally.missing
        _, place = min(
            (first, place)
            for place, one in enumerate(self._holders)
            for first, _ in one.spans
            if first > missing[0][1]
        )
        names = (self._holders[place].name,)
        why = Witness()
        if count(missing) <= self._off:  # the pool counted them, and nobody holds them
            why = self._drift
        elif self._off == 0 and count(missing) <= self._copies:  # duplicates were issued instead
            why = self._duplicate
        return why._replace(purchases=names)

    def _out_of_range(self) -> Witness:
        outside = next(
            one
            for one in self._holders
            if any(first < 1 or last > self._total for first, last in one.spans)
        )
        why = Witness()
        if outside.spans[0][0] < 1:
            if self._negative_quantities:
                why = Witness((), "bad quantity", self._negative_quantities[0].reason)
        elif self._excess > 0:
            why = self._oversold
        elif self._tally.missing:
            why = self._gap()
        return why._replace(purchases=(outside.name,))

    def _next_number_drift(self) -> Witness:
        """Name an unanswered or refused purchase that only one of the pool's columns counted."""
        off = abs(self._next - self._sold - 1)
        for one in self._all:
            record = one.record
            if record and record.outcome in ("unknown", "refused") and record.quantity == off:
                reason = f"{one.name} asked for {off}, and had no answer or a refusal"
                return Witness((one.name,), "partial failure", reason)
        return Witness()


def _by_number(one: Account) -> tuple[Span, float, str]:
    """Order accounts by their first number, then as they were sent: the same for any history."""
    return one.spans[0], one.record.sent_s if one.record else inf, one.name
