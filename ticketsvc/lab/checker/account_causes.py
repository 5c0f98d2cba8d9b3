"""What a buyer's account shows that does not come out even, and its cause."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from ticketsvc.lab.checker.accounts import Holding
from ticketsvc.lab.checker.evidence import Shown, together
from ticketsvc.lab.checker.purchases import Asked
from ticketsvc.lab.checker.settlement import Finding

# So many findings of one kind are looked into, and so many tellers of one number.
_LOOKED_AT, _TELLERS = 100, 4


class Claims:
    """The findings on buyers' accounts, with the evidence of what was asked for and told."""

    def __init__(self, holdings: Sequence[Holding], findings: Sequence[Finding]) -> None:
        self._asked = {id(one.asked): one for one in holdings if one.asked}
        self._findings = findings

    def shown(self, kind: str) -> Shown | None:
        """Return the smallest set that shows an account violated by *kind*; None: no such kind."""
        found = [finding for finding in self._findings if finding.kind == kind]
        if not found:
            return None
        fewest = min(len(finding.shown_by) for finding in found)
        smallest = [finding for finding in found if len(finding.shown_by) == fewest]
        return min(map(self._shown, smallest[:_LOOKED_AT]), key=lambda shown: shown.rank)

    def _shown(self, finding: Finding) -> Shown:
        names = tuple(map(self._name, finding.shown_by))
        for asked, name in zip(finding.shown_by, names, strict=True):
            if asked.bad_quantity:
                return Shown(names, "bad quantity", f"{name} asked for {asked.quantity}")
        match finding.kind:
            case "acknowledged_missing":
                return self._taken(names, finding)
            case "issued_but_refused":
                return self._refused(names, finding.shown_by[0])
            case "issued_beyond_asked":
                return self._beyond(names, finding)
        return Shown(
            names, "partial failure", f"{names[0]} had no answer, and left some of its rows"
        )

    def _name(self, asked: Asked) -> str:
        return self._asked[id(asked)].name

    def _refused(self, names: tuple[str, ...], refused: Asked) -> Shown:
        """Rows of a refused purchase are half of it, unless another's request was repeated."""
        alone = all(
            one.asked is refused
            for one in self._asked.values()
            if one.user == refused.user and one.asked and one.asked.outcome in ("ok", "unknown")
        )
        if alone and refused.outcome == "refused":
            return Shown(names, "partial failure", f"{names[0]} was refused, and left rows")
        return Shown(names)

    def _beyond(self, names: tuple[str, ...], finding: Finding) -> Shown:
        """Whole quantities too many are a request sold again; a part of one, what a retry left."""
        asked = finding.shown_by[0]
        if any(one.wanted != asked.wanted for one in finding.shown_by):
            return Shown(names)
        if asked.attempts == 1 and len(asked.told) > asked.wanted:
            return Shown(names)  # one answer named them all: nothing was sent again
        if finding.tickets % asked.wanted == 0:
            again = [one for one in finding.shown_by if one.attempts > 1]
            if again or len(names) == 1:
                one = (again or [asked])[0]
                return Shown(names, "repeated request", one.repeated(self._name(one)))
        elif len(names) == 1 and asked.attempts > 1 and asked.in_vain:
            reason = f"{names[0]} was sent {asked.attempts} times, and one of them left some rows"
            return Shown(names, "partial failure", reason)
        return Shown(names)

    def _taken(self, names: tuple[str, ...], finding: Finding) -> Shown:
        """Numbers told to two who were under way together were raced for; one lost them."""
        for one in finding.shown_by:
            for number in finding.numbers:
                for other in self._tellers[number] if number in one.told else ():
                    if other is not one and other.overlaps(one):
                        both = together(self._name(one), self._name(other))
                        return Shown(names, "race", f"{both} and were told of {number}")
        return Shown(names)

    @cached_property
    def _tellers(self) -> dict[int, list[Asked]]:
        """A few of the purchases that were told of each number; all of them were answered ok."""
        told: defaultdict[int, list[Asked]] = defaultdict(list)
        for one in self._asked.values():
            asked = one.asked
            for number in asked.told if asked else ():
                if asked and len(told[number]) < _TELLERS:
                    told[number].append(asked)
        return told
