"""Find the cause of each discrepancy between a buyer's purchases and tickets."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from ticketsvc.lab.checker.accounts import Account
from ticketsvc.lab.checker.discrepancies import Discrepancy
from ticketsvc.lab.checker.evidence import Witness, together
from ticketsvc.lab.checker.purchases import PurchaseRecord

# How many discrepancies of one kind are examined, and how many purchases of one number.
_LOOKED_AT, _ANSWERED_WITH = 100, 4


class AccountEvidence:
    """The discrepancies in buyers' accounts, with the evidence in the history."""

    def __init__(self, accounts: Sequence[Account], discrepancies: Sequence[Discrepancy]) -> None:
        self._accounts = {id(one.record): one for one in accounts if one.record}
        self._discrepancies = discrepancies

    def witness(self, kind: str) -> Witness | None:
        """Return the fewest purchases that show a discrepancy of *kind*; None: there is none."""
        found = [discrepancy for discrepancy in self._discrepancies if discrepancy.kind == kind]
        if not found:
            return None
        fewest = min(len(discrepancy.shown_by) for discrepancy in found)
        smallest = [discrepancy for discrepancy in found if len(discrepancy.shown_by) == fewest]
        return min(map(self._witness, smallest[:_LOOKED_AT]), key=lambda witness: witness.rank)

    def _witness(self, discrepancy: Discrepancy) -> Witness:
        names = tuple(map(self._name, discrepancy.shown_by))
        for record, name in zip(discrepancy.shown_by, names, strict=True):
            if record.bad_quantity:
                return Witness(names, "bad quantity", f"{name} asked for {record.quantity}")
        match discrepancy.kind:
            case "acknowledged_missing":
                return self._taken(names, discrepancy)
            case "issued_but_refused":
                return self._refused(names, discrepancy.shown_by[0])
            case "issued_beyond_asked":
                return self._beyond(names, discrepancy)
        return Witness(
            names, "partial failure", f"{names[0]} had no answer, and left some of its rows"
        )

    def _name(self, record: PurchaseRecord) -> str:
        return self._accounts[id(record)].name

    def _refused(self, names: tuple[str, ...], refused: PurchaseRecord) -> Witness:
        """Rows of a refused purchase are a part of it, unless another request was repeated."""
        alone = all(
            one.record is refused
            for one in self._accounts.values()
            if one.user == refused.user and one.record and one.record.outcome in ("ok", "unknown")
        )
        if alone and refused.outcome == "refused":
            return Witness(names, "partial failure", f"{names[0]} was refused, and left rows")
        return Witness(names)

    def _beyond(self, names: tuple[str, ...], discrepancy: Discrepancy) -> Witness:
        """A whole quantity too many is a request sold again; a part of one is what a retry left."""
        record = discrepancy.shown_by[0]
        if any(one.wanted != record.wanted for one in discrepancy.shown_by):
            return Witness(names)
        if record.attempts == 1 and len(record.acknowledged) > record.wanted:
            return Witness(names)  # one answer named them all: nothing was sent again
        if discrepancy.tickets % record.wanted == 0:
            again = [one for one in discrepancy.shown_by if one.attempts > 1]
            if again or len(names) == 1:
                one = (again or [record])[0]
                return Witness(names, "repeated request", one.repeated(self._name(one)))
        elif len(names) == 1 and record.attempts > 1 and record.unsuccessful:
            reason = f"{names[0]} was sent {record.attempts} times, and one of them left some rows"
            return Witness(names, "partial failure", reason)
        return Witness(names)

    def _taken(self, names: tuple[str, ...], discrepancy: Discrepancy) -> Witness:
        """Two that were in flight together were answered with one number: one of them lost it."""
        for one in discrepancy.shown_by:
            for number in discrepancy.numbers:
                for other in self._answered_with[number] if number in one.acknowledged else ():
                    if other is not one and other.overlaps(one):
                        both = together(self._name(one), self._name(other))
                        return Witness(
                            names, "race", f"{both} and were both answered with {number}"
                        )
        return Witness(names)

    @cached_property
    def _answered_with(self) -> dict[int, list[PurchaseRecord]]:
        """A few of the purchases that were answered with each number."""
        acknowledged: defaultdict[int, list[PurchaseRecord]] = defaultdict(list)
        for one in self._accounts.values():
            record = one.record
            for number in record.acknowledged if record else ():
                if record and len(acknowledged[number]) < _ANSWERED_WITH:
                    acknowledged[number].append(record)
        return acknowledged
