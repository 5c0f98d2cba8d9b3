"""Assign the rows of a ledger to purchases: an account for each."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ticketsvc.lab.checker.purchases import PurchaseRecord
from ticketsvc.lab.checker.spans import Span, count
from ticketsvc.lab.ledger.records import Issue


@dataclass(eq=False, slots=True)
class Account:
    """The tickets of one purchase; *asked* is None when the history does not have it.

    *backward* are its ranges that end before they begin, which hold no ticket.
    """

    name: str
    user: str
    record: PurchaseRecord | None = None
    spans: list[Span] = field(default_factory=list)
    backward: list[Span] = field(default_factory=list)

    def __len__(self) -> int:
        return count(self.spans)

    @property
    def times(self) -> int:
        """How many times it holds the quantity of its request; 0: not a whole number of times."""
        wanted = self.record.wanted if self.record else 0
        return len(self) // wanted if wanted and len(self) % wanted == 0 else 0

    @property
    def given_back(self) -> int:
        """How many tickets its backward ranges added to the stock."""
        return sum(first - last - 1 for first, last in self.backward)


def open_accounts(
    issues: Iterable[Issue], buyers: Mapping[str, Sequence[PurchaseRecord]]
) -> list[Account]:
    """Return an account for every purchase of *buyers*, then those of all other rows.

    All rows of a buyer with one purchase belong to that purchase. Where a buyer has several, a row
    belongs to the one that was answered with its number; the rest belongs to the one without an
    answer, if there is only one. Any other row is named by its buyer and numbers: each range is an
    account, and so is each unbroken run of single tickets.
    """
    rows: defaultdict[str, list[Span]] = defaultdict(list)
    for issue in issues:
        rows[issue.user].append((issue.first, issue.last))
    times = Counter(record.purchase for bought in buyers.values() for record in bought)
    held: list[Account] = []
    for user, bought in buyers.items():
        own = [
            Account(
                record.purchase if times[record.purchase] == 1 else f"{record.purchase} of {user}",
                user,
                record,
            )
            for record in bought
        ]
        held += own
        left = _share_out(own, sorted(rows.pop(user, ())))
        held += _unnamed(user, left)
    for user, left in rows.items():
        held += _unnamed(user, sorted(left))
    return held


def _share_out(own: Sequence[Account], spans: Sequence[Span]) -> Sequence[Span]:
    """Assign one buyer's rows to that buyer's purchases; return the rows that are left."""
    if len(own) == 1:
        _take(own[0], spans)
        return ()
    answered_with: defaultdict[int, list[Account]] = defaultdict(list)
    silent = [account for account in own if not (account.record and account.record.acknowledged)]
    for account in own:
        for number in account.record.acknowledged if account.record else ():
            answered_with[number].append(account)
    negative = [account for account in own if account.record and account.record.quantity < 0]
    left = []
    for span in spans:
        candidates = answered_with.get(span[0], []) if span[0] <= span[1] else negative[:1]
        if candidates:
            _take(candidates.pop(), [span])
        else:
            left.append(span)
    if len(silent) == 1:
        _take(silent[0], left)
        return ()
    return left


def _take(account: Account, spans: Iterable[Span]) -> None:
    for span in spans:
        (account.spans if span[0] <= span[1] else account.backward).append(span)


def _unnamed(user: str, spans: Sequence[Span]) -> list[Account]:
    found: list[Account] = []
    # By the number that would continue it.
    running: defaultdict[int, list[Account]] = defaultdict(list)
    for first, last in spans:
        if first == last and running.get(first):
            account = running[first].pop()
            account.spans.append((first, last))
        else:
            account = Account("", user)
            _take(account, [(first, last)])
            found.append(account)
        if first == last:
            running[last + 1].append(account)
    names: Counter[str] = Counter()
    for account in found:
        parts = account.spans or account.backward
        first, last = parts[0][0], parts[-1][1]
        name = f"{user} {first}" if first == last else f"{user} {first}-{last}"
        names[name] += 1
        account.name = name if names[name] == 1 else f"{name} ({names[name]})"
    return found
