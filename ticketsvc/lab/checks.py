"""Judge a history and a ledger: pure functions, no database, no clock.

The invariant, per event: the tickets issued are exactly the numbers 1 to N, each once; N is
at most the total; N = total - available = next_ticket_number - 1; and every ticket that a
buyer was told of is in that buyer's hands.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ticketsvc.lab.history import Attempt
from ticketsvc.lab.records import EventLedger, Issue

_EXAMPLES = 5


@dataclass(frozen=True)
class Violation:
    """Where the invariant does not hold: what kind, how many tickets, and examples."""

    kind: str
    count: int
    message: str


@dataclass(frozen=True)
class EventVerdict:
    """What was found of one event.

    *issued* counts tickets in rows and ranges; *unique* the different numbers among them;
    *duplicates* the rest. *oversold*: more were issued than the event has.
    """

    event: str
    total: int | None
    available: int | None
    next_ticket_number: int | None
    issued: int
    unique: int
    duplicates: int
    oversold: bool
    violations: tuple[Violation, ...]

    @property
    def clean(self) -> bool:
        """Whether the invariant holds."""
        return not self.violations

    def as_dict(self) -> dict[str, Any]:
        """Give plain data, for JSON."""
        return asdict(self)


def check_event(ledger: EventLedger, history: Iterable[Attempt] = ()) -> EventVerdict:
    """Judge one event's ledger, and the answers in *history* that concern it."""
    backward = [(one.first, one.last) for one in ledger.issues if one.last < one.first]
    spans = sorted((one.first, one.last) for one in ledger.issues if one.first <= one.last)
    issued = sum(last - first + 1 for first, last in spans)
    unique, overlapping, missing = _measure(spans)
    violations = [
        *_against_total(ledger, issued),
        *_backward(backward),
        *_count("duplicate", issued - unique, "issued more than once", overlapping),
        *_count("gap", sum(last - first + 1 for first, last in missing), "left out", missing),
        *_out_of_range(ledger, spans),
        *_against_pool(ledger, issued),
        *_acknowledged(ledger, history),
    ]
    return EventVerdict(
        event=ledger.event,
        total=ledger.total,
        available=ledger.available,
        next_ticket_number=ledger.next_ticket_number,
        issued=issued,
        unique=unique,
        duplicates=issued - unique,
        oversold=ledger.total is not None and issued > ledger.total,
        violations=tuple(violations),
    )


def check(ledgers: Sequence[EventLedger], history: Sequence[Attempt] = ()) -> list[EventVerdict]:
    """Judge every event, those included that only the history speaks of."""
    known = {ledger.event for ledger in ledgers}
    unheard = sorted({attempt.event for attempt in history if attempt.tickets} - known)
    everything = [*ledgers, *(EventLedger(event, None, None) for event in unheard)]
    by_event = defaultdict(list)
    for attempt in history:
        by_event[attempt.event].append(attempt)
    return [check_event(ledger, by_event[ledger.event]) for ledger in everything]


def check_schemas(
    ledgers: Mapping[str, Sequence[EventLedger]], history: Sequence[Attempt] = ()
) -> list[tuple[str, EventVerdict]]:
    """Judge several schemas, each verdict with its schema's name.

    A history tells of the sales of one schema: it is held against those that know any of its
    buyers, and against all of them when none does.
    """
    buyers = {attempt.user for attempt in history if attempt.tickets}
    knowing = {
        schema
        for schema, found in ledgers.items()
        if any(issue.user in buyers for ledger in found for issue in ledger.issues)
    }
    return [
        (schema, verdict)
        for schema, found in ledgers.items()
        for verdict in check(found, history if not knowing or schema in knowing else ())
    ]


def _measure(
    spans: Sequence[tuple[int, int]],
) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    """Sweep over sorted spans: count distinct numbers, list overlaps, list gaps from 1 on."""
    merged: list[tuple[int, int]] = []
    overlaps, gaps = [], []
    for first, last in spans:
        if merged and first <= merged[-1][1]:
            overlaps.append((first, min(last, merged[-1][1])))
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    expected = 1
    for first, last in merged:
        if first > expected:
            gaps.append((expected, first - 1))
        expected = max(expected, last + 1)
    return sum(last - first + 1 for first, last in merged), overlaps, gaps


def _against_total(ledger: EventLedger, issued: int) -> Iterable[Violation]:
    if ledger.total is None:
        if issued:
            yield Violation("orphan", issued, f"{issued} tickets of an event that has no pool")
        return
    if issued > ledger.total:
        yield Violation(
            "oversold",
            issued - ledger.total,
            f"{issued} tickets issued of {ledger.total}",
        )
    if ledger.available is not None and ledger.available < 0:
        yield Violation(
            "negative_stock", -ledger.available, f"the pool says {ledger.available} are left"
        )


def _backward(spans: Sequence[tuple[int, int]]) -> Iterable[Violation]:
    """Find ranges that end before they begin: what a negative quantity mints stock with."""
    if spans:
        yield Violation(
            "backward", len(spans), f"ranges that end before they begin: {_examples(spans)}"
        )


def _count(
    kind: str, count: int, what: str, spans: Sequence[tuple[int, int]]
) -> Iterable[Violation]:
    if count:
        yield Violation(kind, count, f"{count} tickets {what}: {_examples(spans)}")


def _out_of_range(ledger: EventLedger, spans: Sequence[tuple[int, int]]) -> Iterable[Violation]:
    if ledger.total is None:
        return
    outside = [span for span in spans if span[0] < 1 or span[1] > ledger.total]
    if outside:
        yield Violation(
            "out_of_range",
            sum(
                last - first + 1 - max(0, min(last, ledger.total) - max(first, 1) + 1)
                for first, last in outside
            ),
            f"numbers outside 1 to {ledger.total}: {_examples(outside)}",
        )


def _against_pool(ledger: EventLedger, issued: int) -> Iterable[Violation]:
    if ledger.total is None or ledger.available is None:
        return
    sold = ledger.total - ledger.available
    if sold != issued:
        yield Violation(
            "drift", abs(sold - issued), f"the pool says {sold} are sold, {issued} are issued"
        )
    following = ledger.next_ticket_number
    if following is not None and following != sold + 1:
        yield Violation(
            "next_number_drift",
            abs(following - sold - 1),
            f"the next number is {following}, the pool says {sold + 1}",
        )


def _acknowledged(ledger: EventLedger, history: Iterable[Attempt]) -> Iterable[Violation]:
    """Find tickets that a buyer was told of and does not hold, or not as often."""
    held: defaultdict[str, list[Issue]] = defaultdict(list)
    for issue in ledger.issues:
        held[issue.user].append(issue)
    missing = []
    for attempt in history:
        for number, times in Counter(attempt.tickets).items():
            has = sum(issue.first <= number <= issue.last for issue in held[attempt.user])
            missing += [number] * max(0, times - has)
    if missing:
        yield Violation(
            "acknowledged_missing",
            len(missing),
            f"{len(missing)} tickets were confirmed to a buyer who does not hold them: "
            f"{_examples([(number, number) for number in sorted(set(missing))])}",
        )


def _examples(spans: Sequence[tuple[int, int]]) -> str:
    different = sorted(set(spans))
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in different[:_EXAMPLES]]
    more = len(different) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
