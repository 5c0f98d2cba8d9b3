"""Whose purchase is which row: what the ledger holds, put together purchase by purchase."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ticketsvc.lab.checker.purchases import Asked
from ticketsvc.lab.checker.spans import Span, count
from ticketsvc.lab.ledger.records import Issue


@dataclass(eq=False, slots=True)
class Holding:
    """The tickets of one purchase; *asked* is None when the history does not know it.

    *backward* are its ranges that end before they begin, which hold no ticket.
    """

    name: str
    user: str
    asked: Asked | None = None
    spans: list[Span] = field(default_factory=list)
    backward: list[Span] = field(default_factory=list)

    def __len__(self) -> int:
        return count(self.spans)

    @property
    def times(self) -> int:
        """How many times it holds the quantity that was asked for; 0: not a whole number."""
        wanted = self.asked.wanted if self.asked else 0
        return len(self) // wanted if wanted and len(self) % wanted == 0 else 0

    @property
    def minted(self) -> int:
        """How many tickets its backward ranges gave back to the stock."""
        return sum(first - last - 1 for first, last in self.backward)


def hold(issues: Iterable[Issue], buyers: Mapping[str, Sequence[Asked]]) -> list[Holding]:
    """Put rows together by purchase; return every purchase of *buyers*, then the others' holdings.

    All rows of a buyer with one purchase are that purchase's. Of a buyer with several, a row is
    of the one that was told of it, and what nobody was told of is of the one that was told
    nothing, if there is only one. Rows that are nobody's go by their buyer and numbers: a range
    for itself, single tickets as far as they run on.
    """
    rows: defaultdict[str, list[Span]] = defaultdict(list)
    for issue in issues:
        rows[issue.user].append((issue.first, issue.last))
    times = Counter(asked.purchase for bought in buyers.values() for asked in bought)
    held: list[Holding] = []
    for user, bought in buyers.items():
        own = [
            Holding(
                asked.purchase if times[asked.purchase] == 1 else f"{asked.purchase} of {user}",
                user,
                asked,
            )
            for asked in bought
        ]
        held += own
        left = _share_out(own, sorted(rows.pop(user, ())))
        held += _unnamed(user, left)
    for user, left in rows.items():
        held += _unnamed(user, sorted(left))
    return held


def _share_out(own: Sequence[Holding], spans: Sequence[Span]) -> Sequence[Span]:
    """Return each of one buyer's purchases its rows; return what is left."""
    if len(own) == 1:
        _take(own[0], spans)
        return ()
    tellers: defaultdict[int, list[Holding]] = defaultdict(list)
    silent = []
    for holding in own:
        asked = holding.asked
        if asked is None or not asked.told:
            silent.append(holding)
            continue
        for number in asked.told:
            tellers[number].append(holding)
    minting = [holding for holding in own if holding.asked and holding.asked.quantity < 0]
    left = []
    for span in spans:
        claimants = tellers.get(span[0], []) if span[0] <= span[1] else minting[:1]
        if claimants:
            _take(claimants.pop(), [span])
        else:
            left.append(span)
    if len(silent) == 1:
        _take(silent[0], left)
        return ()
    return left


def _take(holding: Holding, spans: Iterable[Span]) -> None:
    for span in spans:
        (holding.spans if span[0] <= span[1] else holding.backward).append(span)


def _unnamed(user: str, spans: Sequence[Span]) -> list[Holding]:
    found: list[Holding] = []
    running: defaultdict[int, list[Holding]] = defaultdict(list)  # by the number that goes on
    for first, last in spans:
        if first == last and running.get(first):
            holding = running[first].pop()
            holding.spans.append((first, last))
        else:
            holding = Holding("", user)
            _take(holding, [(first, last)])
            found.append(holding)
        if first == last:
            running[last + 1].append(holding)
    names: Counter[str] = Counter()
    for holding in found:
        parts = holding.spans or holding.backward
        first, last = parts[0][0], parts[-1][1]
        name = f"{user} {first}" if first == last else f"{user} {first}-{last}"
        names[name] += 1
        holding.name = name if names[name] == 1 else f"{name} ({names[name]})"
    return found
