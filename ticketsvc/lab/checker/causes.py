"""Which purchases show a violation, and its cause, as far as the evidence goes and no further.

Race: two acknowledged purchases hold, or were told, the same numbers, and were under way at the
same time; where one was answered before the other was sent, it was none. Repeated request: one
purchase holds its quantity several times. Bad quantity: a range backward, or a quantity that is
not a positive multiple of 8, of a purchase that took effect. Partial failure: rows or pool
without their counterpart, of a purchase that was refused or had no answer. Where two of these
explain the same, or none does, the cause is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import inf

from ticketsvc.lab.checker.account_causes import Claims
from ticketsvc.lab.checker.accounts import Holding, hold
from ticketsvc.lab.checker.drift import Share, certain, explain_drift
from ticketsvc.lab.checker.duplicates import find_duplicate, raced_for_the_last
from ticketsvc.lab.checker.evidence import Shown, only
from ticketsvc.lab.checker.purchases import Asked
from ticketsvc.lab.checker.settlement import Finding
from ticketsvc.lab.checker.spans import Measured, Span, count
from ticketsvc.lab.checker.verdicts import Cause, Violation
from ticketsvc.lab.ledger.records import EventLedger

# A set of more purchases than this says nothing to a reader.
_MOST_NAMED = 1_000


def explain(
    violations: Sequence[Violation],
    ledger: EventLedger,
    buyers: Mapping[str, Sequence[Asked]],
    measured: Measured,
    findings: Sequence[Finding],
) -> list[Violation]:
    """Complete each violation with the smallest set of purchases that shows it, and its cause."""
    holdings = hold(ledger.issues, buyers)
    claims = Claims(holdings, findings)
    case = Case(ledger, holdings, measured)
    explained = []
    for violation in violations:
        shown = claims.shown(violation.kind) or case.shown(violation.kind)
        explained.append(
            replace(violation, purchases=shown.purchases, cause=shown.cause, reason=shown.reason)
        )
    return explained


class Case:
    """The evidence of one event's rows and pool, each kind looked into when it is asked for."""

    def __init__(
        self, ledger: EventLedger, holdings: Sequence[Holding], measured: Measured
    ) -> None:
        self._total, self._next = ledger.total or 0, ledger.next_ticket_number or 0
        self._sold = self._total - (ledger.available or 0)
        self._measured = measured
        self._copies = measured.issued - measured.unique
        self._excess = measured.issued - self._total
        self._off = 0 if ledger.total is None else self._sold - measured.issued
        self._all = holdings
        self._holding = sorted((one for one in holdings if one.spans), key=_by_number)

    def shown(self, kind: str) -> Shown:
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
        """What the pool counted otherwise than the rows did, purchase by purchase."""
        return explain_drift(self._all, self._off) or ((), None)

    @cached_property
    def _minters(self) -> list[Share]:
        """Purchases that gave stock back which nobody had returned."""
        shares = [share for one in self._all for share in certain(one)]
        return [one for one in shares if one.cause == "bad quantity" and one.tickets < 0]

    @cached_property
    def _half_done(self) -> dict[str, Share]:
        """Purchases whose rows the pool did not count, by their name."""
        shares, cause = self._shares
        half = cause == "partial failure" and self._off < 0
        return {share.holding.name: share for share in shares} if half else {}

    @cached_property
    def _duplicate(self) -> Shown:
        if not self._copies:
            return Shown()
        return find_duplicate(self._holding, self._minters, self._half_done)

    @cached_property
    def _drift(self) -> Shown:
        """Name those the pool counted otherwise; else, of more issued than sold, who hold more."""
        shares, cause = self._shares
        if shares:
            reason = shares[0].reason + (", and others are like it" if len(shares) > 1 else "")
            names = tuple(share.holding.name for share in shares)
            return Shown(names, cause, reason if cause else "")
        if self._duplicate.cause == "race" and -self._off == self._copies:
            return self._duplicate
        return (
            Shown(self._names(self._fewest_with_more_than(self._sold)))
            if self._off < 0
            else Shown()
        )

    @cached_property
    def _oversold(self) -> Shown:
        """Name the fewest who hold more than there is; explain what there is too much."""
        chosen = self._fewest_with_more_than(self._total)
        if not chosen:
            return Shown(reason=f"it takes more than {_MOST_NAMED} purchases to show it")
        if self._copies >= self._excess:  # without the copies there would not be too many
            return self._duplicate._replace(purchases=self._names(chosen))
        reasons: dict[Cause, str] = {}
        for shares in (self._minters, [*self._half_done.values()]):
            if shares and shares[0].cause and -sum(one.tickets for one in shares) >= self._excess:
                reasons[shares[0].cause] = shares[0].reason
        if race := raced_for_the_last(chosen):
            reasons["race"] = race
        return only(self._names(chosen), reasons)

    def _names(self, chosen: Sequence[Holding]) -> tuple[str, ...]:
        return tuple(one.name for one in chosen)

    def _fewest_with_more_than(self, tickets: int) -> list[Holding]:
        """Choose the fewest holdings of more than so many tickets in all: the largest.

        Of one size, those come first that have numbers in common, or out of range.
        """
        suspects = set(self._duplicate.purchases)

        def rank(one: Holding) -> tuple[int, bool]:
            outside = one.spans[0][0] < 1 or one.spans[-1][1] > self._total
            return -len(one), not (outside or one.name in suspects)

        chosen: list[Holding] = []
        for one in sorted(self._holding, key=rank):
            chosen.append(one)
            tickets -= len(one)
            if tickets < 0:
                return chosen
            if len(chosen) == _MOST_NAMED:
                break
        return []

    def _orphan(self) -> Shown:
        return Shown(self._names(self._holding[:1]))

    def _backward(self) -> Shown:
        one = next(one for one in self._all if one.backward)
        return Shown((one.name,), "bad quantity", f"{one.name} holds a range that runs backward")

    def _gap(self) -> Shown:
        """Name who holds the next number: it shows that those before it were left out."""
        missing = self._measured.missing
        _, place = min(
            (first, place)
            for place, one in enumerate(self._holding)
            for first, _ in one.spans
            if first > missing[0][1]
        )
        names = (self._holding[place].name,)
        why = Shown()
        if count(missing) <= self._off:  # the pool counted them, and nobody holds them
            why = self._drift
        elif self._off == 0 and count(missing) <= self._copies:  # others went out in their stead
            why = self._duplicate
        return why._replace(purchases=names)

    def _out_of_range(self) -> Shown:
        outside = next(
            one
            for one in self._holding
            if any(first < 1 or last > self._total for first, last in one.spans)
        )
        why = Shown()
        if outside.spans[0][0] < 1:
            if self._minters:
                why = Shown((), "bad quantity", self._minters[0].reason)
        elif self._excess > 0:
            why = self._oversold
        elif self._measured.missing:
            why = self._gap()
        return why._replace(purchases=(outside.name,))

    def _next_number_drift(self) -> Shown:
        """Name a purchase without its answer that one of the pool's two columns counted."""
        off = abs(self._next - self._sold - 1)
        for one in self._all:
            asked = one.asked
            if asked and asked.outcome in ("unknown", "refused") and asked.quantity == off:
                reason = f"{one.name} asked for {off}, and had no answer or a refusal"
                return Shown((one.name,), "partial failure", reason)
        return Shown()


def _by_number(one: Holding) -> tuple[Span, float, str]:
    """Order holdings by their first number, then as they were sent: the same for any history."""
    return one.spans[0], one.asked.sent_s if one.asked else inf, one.name
