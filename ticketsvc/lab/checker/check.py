"""Judge a history and a ledger: pure functions, no database, no clock.

Three records have to agree: the answers, the rows and ranges, and the pool. The
invariant, per event: the tickets issued are exactly the numbers 1 to N, each once; N is at most
the total; N = total - available = next_ticket_number - 1; every ticket in
an answer is held by its buyer; and what else that buyer holds is the whole quantity of a purchase
without an answer.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ticketsvc.lab.checker import inconclusive
from ticketsvc.lab.checker.causes import explain
from ticketsvc.lab.checker.discrepancies import Discrepancy, find_discrepancies
from ticketsvc.lab.checker.purchases import by_buyer
from ticketsvc.lab.checker.spans import Span, Tally, count, tally_numbers
from ticketsvc.lab.checker.verdicts import EventVerdict, Violation
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt

_EXAMPLES = 5
_ACCOUNTS = {
    "acknowledged_missing": "were confirmed to a buyer who does not hold them",
    "issued_but_refused": "are held by a buyer whose purchase was refused",
    "issued_beyond_asked": "are more than their buyer asked for",
    "issued_in_part": "are of a purchase without an answer, of which the rest is not there",
}


def check_event(
    ledger: EventLedger,
    history: Iterable[Attempt] = (),
    *,
    explained: bool = True,
    our_rules: bool = True,
) -> EventVerdict:
    """Judge one event's ledger, and the answers in *history* that concern it.

    Without *explained*, purchases and causes of violations are left out, which is faster. Without
    *our_rules*, numbers may be any, with gaps, and quantities need not be multiples of 8: what is
    left is true of every ticket sale.
    """
    answered = [attempt for attempt in history if attempt.event == ledger.event]
    reason = inconclusive.contradiction(answered)
    buyers = {} if reason else by_buyer(answered, our_rules=our_rules)
    spans, backward = [], []
    held: defaultdict[str, list[Span]] = defaultdict(list)
    for issue in ledger.issues:
        span = (issue.first, issue.last)
        if issue.last < issue.first:
            backward.append(span)
            continue
        spans.append(span)
        if buyers:
            held[issue.user].append(span)
    spans.sort()
    tally = tally_numbers(spans)
    duplicates = count(tally.copies)
    violations: list[Violation] = [
        *_against_total(ledger, tally.issued),
        *_backward(backward),
        *_count("duplicate", "surplus copies of", tally.copies),
        *_against_pool(ledger, tally.issued),
    ]
    if our_rules:
        violations += _numbering(ledger, tally, spans)
    discrepancies: list[Discrepancy] = []
    if buyers:
        reason = inconclusive.incomplete(answered, held)
        discrepancies = find_discrepancies(buyers, held)
        if reason:  # a missing attempt may explain the others
            discrepancies = [one for one in discrepancies if one.kind == "acknowledged_missing"]
        violations += _accounts(discrepancies)
    if violations and explained:
        violations = explain(violations, ledger, buyers, tally, discrepancies)
    return EventVerdict(
        event=ledger.event,
        total=ledger.total,
        available=ledger.available,
        next_ticket_number=ledger.next_ticket_number,
        issued=tally.issued,
        unique=tally.issued - duplicates,
        duplicates=duplicates,
        oversold=ledger.total is not None and tally.issued > ledger.total,
        violations=tuple(violations),
        inconclusive=tuple(
            why for why in (inconclusive.unjudgeable(ledger) if our_rules else "", reason) if why
        ),
        not_checked=() if our_rules else tuple(_skipped(ledger)),
    )


def _skipped(ledger: EventLedger) -> Iterator[str]:
    """Yield the checks that a column which the pool lacks prevents."""
    if ledger.total is None:
        yield "oversell: no total"
    if ledger.available is None:
        yield "pool against tickets: no available"


def judge(
    ledger: EventLedger, history: Sequence[Attempt] = (), *, our_rules: bool = True
) -> EventVerdict:
    """Judge as `check_event` does, and never raise: a check that could not run proves nothing.

    What it raised is a reason for an inconclusive verdict. Violations stand even when their causes
    could not be found.
    """
    reasons: list[str] = []
    for explained in (True, False):
        try:
            verdict = check_event(ledger, history, explained=explained, our_rules=our_rules)
        except Exception as problem:
            reasons.append(f"the check failed: {type(problem).__name__}: {problem}")
        else:
            return replace(verdict, inconclusive=(*verdict.inconclusive, *reasons))
    return EventVerdict(ledger.event, inconclusive=tuple(dict.fromkeys(reasons)))


def check(
    ledgers: Sequence[EventLedger], history: Sequence[Attempt] = (), *, our_rules: bool = True
) -> list[EventVerdict]:
    """Judge every event, also those that only the history has."""
    known = {ledger.event for ledger in ledgers}
    without_rows = sorted({attempt.event for attempt in history if attempt.tickets} - known)
    everything = [*ledgers, *(EventLedger(event, None, None) for event in without_rows)]
    by_event = defaultdict(list)
    for attempt in history:
        by_event[attempt.event].append(attempt)
    return [judge(ledger, by_event[ledger.event], our_rules=our_rules) for ledger in everything]


def check_schemas(
    ledgers: Mapping[str, Sequence[EventLedger]],
    history: Sequence[Attempt] = (),
    *,
    our_rules: Collection[str],
) -> list[tuple[str, EventVerdict]]:
    """Judge several schemas, each verdict with its schema's name.

    *our_rules* are the schemas that the rules of ours apply to. A history records the sales of one
    schema: it is compared with those that hold any of its buyers, and with all when none does.
    """
    buyers = {attempt.user for attempt in history}
    holding_buyers = {
        schema
        for schema, found in ledgers.items()
        if any(issue.user in buyers for ledger in found for issue in ledger.issues)
    }
    return [
        (schema, verdict)
        for schema, found in ledgers.items()
        for verdict in check(
            found,
            history if not holding_buyers or schema in holding_buyers else (),
            our_rules=schema in our_rules,
        )
    ]


def _against_total(ledger: EventLedger, issued: int) -> Iterable[Violation]:
    if not ledger.has_pool:
        if issued:
            yield Violation("orphan", issued, f"{issued} tickets of an event that has no pool")
        return
    if ledger.total is not None and issued > ledger.total:
        yield Violation(
            "oversold",
            issued - ledger.total,
            f"{issued} tickets issued of {ledger.total}",
        )
    if ledger.available is not None and ledger.available < 0:
        yield Violation(
            "negative_stock", -ledger.available, f"the pool says {ledger.available} are left"
        )


def _backward(spans: Sequence[Span]) -> Iterable[Violation]:
    """Find ranges that end before they begin: a negative quantity adds stock with them."""
    if spans:
        yield Violation(
            "backward", len(spans), f"ranges that end before they begin: {_examples(spans)}"
        )


def _count(kind: str, what: str, spans: Sequence[Span]) -> Iterable[Violation]:
    if spans:
        tickets = count(spans)
        yield Violation(kind, tickets, f"{tickets} {what} {_examples(spans)}")


def _numbering(ledger: EventLedger, tally: Tally, spans: Sequence[Span]) -> Iterable[Violation]:
    """Find numbers that are not 1 to the number of tickets sold."""
    yield from _count("gap", "numbers left out:", tally.missing)
    yield from _out_of_range(ledger, spans)
    following = ledger.next_ticket_number
    if following is None or ledger.total is None or ledger.available is None:
        return
    wanted = ledger.total - ledger.available + 1
    if following != wanted:
        yield Violation(
            "next_number_drift",
            abs(following - wanted),
            f"the next number is {following}, the pool says {wanted}",
        )


def _out_of_range(ledger: EventLedger, spans: Sequence[Span]) -> Iterable[Violation]:
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


def _accounts(discrepancies: Sequence[Discrepancy]) -> Iterable[Violation]:
    """Return one violation for each kind of discrepancy."""
    for kind, what in _ACCOUNTS.items():
        found = [discrepancy for discrepancy in discrepancies if discrepancy.kind == kind]
        if found:
            tickets = sum(discrepancy.tickets for discrepancy in found)
            numbers = {(number, number) for discrepancy in found for number in discrepancy.numbers}
            examples = f": {_examples(tuple(numbers))}" if numbers else ""
            yield Violation(kind, tickets, f"{tickets} tickets {what}{examples}")


def _examples(spans: Iterable[Span]) -> str:
    different = sorted(set(spans))
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in different[:_EXAMPLES]]
    more = len(different) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
