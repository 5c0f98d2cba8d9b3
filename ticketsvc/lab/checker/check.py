"""Judge a history and a ledger: pure functions, no database, no clock.

Three ledgers have to agree: what clients were told, the rows and ranges, the pool. The
invariant, per event: the tickets issued are exactly the numbers 1 to N, each once; N is at most
the total; N = total - available = next_ticket_number - 1; every ticket that a buyer was told of
is in that buyer's hands, and what else a known buyer holds is that of a purchase without an
answer, all of it or nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ticketsvc.lab.checker import inconclusive
from ticketsvc.lab.checker.causes import explain
from ticketsvc.lab.checker.purchases import by_buyer
from ticketsvc.lab.checker.settlement import Finding, settle
from ticketsvc.lab.checker.spans import Span, count, measure
from ticketsvc.lab.checker.verdicts import (
    Cause,
    EventVerdict,
    Status,
    Unknowns,
    Violation,
    listed,
)
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt

__all__ = [
    "Cause",
    "EventVerdict",
    "Status",
    "Unknowns",
    "Violation",
    "check",
    "check_event",
    "check_schemas",
    "judge",
    "listed",
]

_EXAMPLES = 5
_ACCOUNTS = {
    "acknowledged_missing": "were confirmed to a buyer who does not hold them",
    "issued_but_refused": "are held by a buyer whose purchase was refused",
    "issued_beyond_asked": "are more than their buyer asked for",
    "issued_in_part": "are of a purchase without an answer, of which the rest is not there",
}


def check_event(
    ledger: EventLedger, history: Iterable[Attempt] = (), *, explained: bool = True
) -> EventVerdict:
    """Judge one event's ledger, and the answers in *history* that concern it.

    Purchases and causes of violations are found unless *explained* is false, which is faster.
    """
    told = [attempt for attempt in history if attempt.event == ledger.event]
    doubt = inconclusive.contradiction(told)
    buyers = {} if doubt else by_buyer(told)
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
    measured = measure(spans)
    violations: list[Violation] = [
        *_against_total(ledger, measured.issued),
        *_backward(backward),
        *_count("duplicate", "issued more than once", measured.again),
        *_count("gap", "left out", measured.missing),
        *_out_of_range(ledger, spans),
        *_against_pool(ledger, measured.issued),
    ]
    findings: list[Finding] = []
    unknowns = Unknowns()
    if buyers:
        doubt = inconclusive.incomplete(told, held)
        findings, unknowns = settle(buyers, held)
        if doubt:  # what a lacking attempt may account for is not held against anybody
            findings = [one for one in findings if one.kind == "acknowledged_missing"]
        violations += _accounts(findings)
    if violations and explained:
        violations = explain(violations, ledger, buyers, measured, findings)
    return EventVerdict(
        event=ledger.event,
        total=ledger.total,
        available=ledger.available,
        next_ticket_number=ledger.next_ticket_number,
        issued=measured.issued,
        unique=measured.unique,
        duplicates=measured.issued - measured.unique,
        oversold=ledger.total is not None and measured.issued > ledger.total,
        violations=tuple(violations),
        unknowns=unknowns,
        inconclusive=tuple(why for why in (inconclusive.unjudgeable(ledger), doubt) if why),
    )


def judge(ledger: EventLedger, history: Sequence[Attempt] = ()) -> EventVerdict:
    """Judge as `check_event` does, and never raise: a check that could not run proves nothing.

    What it raised becomes a doubt. Violations stand even when their causes could not be found.
    """
    reasons: list[str] = []
    for explained in (True, False):
        try:
            verdict = check_event(ledger, history, explained=explained)
        except Exception as problem:
            reasons.append(f"the check failed: {type(problem).__name__}: {problem}")
        else:
            return replace(verdict, inconclusive=(*verdict.inconclusive, *reasons))
    return EventVerdict(
        ledger.event,
        None,
        None,
        None,
        0,
        0,
        0,
        False,
        (),
        inconclusive=tuple(dict.fromkeys(reasons)),
    )


def check(ledgers: Sequence[EventLedger], history: Sequence[Attempt] = ()) -> list[EventVerdict]:
    """Judge every event, those included that only the history speaks of."""
    known = {ledger.event for ledger in ledgers}
    unheard = sorted({attempt.event for attempt in history if attempt.tickets} - known)
    everything = [*ledgers, *(EventLedger(event, None, None) for event in unheard)]
    by_event = defaultdict(list)
    for attempt in history:
        by_event[attempt.event].append(attempt)
    return [judge(ledger, by_event[ledger.event]) for ledger in everything]


def check_schemas(
    ledgers: Mapping[str, Sequence[EventLedger]], history: Sequence[Attempt] = ()
) -> list[tuple[str, EventVerdict]]:
    """Judge several schemas, each verdict with its schema's name.

    A history tells of the sales of one schema: it is held against those that know any of its
    buyers, and against all of them when none does.
    """
    buyers = {attempt.user for attempt in history}
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
    """Find ranges that end before they begin: what a negative quantity mints stock with."""
    if spans:
        yield Violation(
            "backward", len(spans), f"ranges that end before they begin: {_examples(spans)}"
        )


def _count(kind: str, what: str, spans: Sequence[Span]) -> Iterable[Violation]:
    if spans:
        tickets = count(spans)
        yield Violation(kind, tickets, f"{tickets} tickets {what}: {_examples(spans)}")


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
    following = ledger.next_ticket_number
    if following is not None and following != sold + 1:
        yield Violation(
            "next_number_drift",
            abs(following - sold - 1),
            f"the next number is {following}, the pool says {sold + 1}",
        )


def _accounts(findings: Sequence[Finding]) -> Iterable[Violation]:
    """Sum up buyers' accounts: one violation of each kind, with numbers as far as there are any."""
    for kind, what in _ACCOUNTS.items():
        found = [finding for finding in findings if finding.kind == kind]
        if found:
            tickets = sum(finding.tickets for finding in found)
            numbers = {(number, number) for finding in found for number in finding.numbers}
            examples = f": {_examples(tuple(numbers))}" if numbers else ""
            yield Violation(kind, tickets, f"{tickets} tickets {what}{examples}")


def _examples(spans: Iterable[Span]) -> str:
    different = sorted(set(spans))
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in different[:_EXAMPLES]]
    more = len(different) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
