"""The checker on generated histories: a right seller is clean, and each single fault is seen.

A seller sells a list of purchases in its order: numbers follow the pool, as in the service.
"""

from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ticketsvc.lab.checker.check import check_event, judge
from ticketsvc.lab.ledger.records import EventLedger, Issue
from ticketsvc.lab.workload.history import Attempt

ODD = 40  # a quantity that no other purchase has, nor two of them as one


@dataclass(frozen=True)
class Sale:
    """One purchase: what its buyer asked for and was told, and what was done."""

    name: str
    outcome: str  # of its last attempt
    quantity: int = 8
    user: str = ""
    at: tuple[float, float] = (0.0, 1.0)
    done: bool = True  # all of it; else nothing, but for what follows
    counted: int | None = None  # by the pool, if not what was done
    rows: int | None = None  # issued, if not what was done
    like: str = ""  # has the numbers of that purchase, not those that the pool would give
    again: bool = False  # a first attempt had no answer
    ranges: bool = True

    @property
    def holder(self):
        return self.user or f"buyer of {self.name}"


def sell(sales, left=100):
    """Return the ledger and the history that these sales leave."""
    issues, history, numbers = [], [], {}
    sold = 0
    for sale in sales:
        whole = sale.quantity if sale.done else 0
        counted = whole if sale.counted is None else sale.counted
        held = max(0, whole) if sale.rows is None else sale.rows
        first = numbers.get(sale.like, sold + 1)
        numbers[sale.name] = first
        last = first + held - 1
        if sale.ranges and held:
            issues.append(Issue(sale.holder, first, last))
        else:
            issues += [Issue(sale.holder, n, n) for n in range(first, last + 1)]
        told = tuple(range(first, first + sale.quantity)) if sale.outcome == "ok" else ()
        attempt = Attempt(
            sale.name,
            "http://h",
            sale.holder,
            "E",
            sale.quantity,
            *sale.at,
            sale.outcome,
            None,
            told,
        )
        if sale.again:
            early = (sale.at[0] - 2, sale.at[0] - 1)
            first_try = replace(attempt, tickets=(), outcome="unknown")
            history.append(replace(first_try, sent_s=early[0], answered_s=early[1]))
        history.append(attempt)
        sold += counted
    return EventLedger("E", sold + left, left, sold + 1, issues), history


@st.composite
def right_sales(draw, *, retries=True):
    """Sales without a fault: every outcome, rows and ranges, buyers of several purchases."""
    sales = []
    for number in range(draw(st.integers(0, 6))):
        outcome = draw(st.sampled_from(["ok", "ok", "unknown", "refused", "failed"]))
        sent = draw(st.integers(0, 20))
        sales.append(
            Sale(
                f"s{number}",
                outcome,
                draw(st.sampled_from([8, 16, 24])),
                draw(st.sampled_from(["", "", "regular"])),
                (float(sent), sent + float(draw(st.integers(1, 9)))),
                done=outcome == "ok" or (outcome == "unknown" and draw(st.booleans())),
                again=retries and outcome != "failed" and draw(st.booleans()),
                ranges=draw(st.booleans()),
            )
        )
    return sales


def put(data, sales, *more):
    """Put *more* sales among the others, next to each other."""
    place = data.draw(st.integers(0, len(sales)))
    return [*sales[:place], *more, *sales[place:]]


def explained(sales, **options):
    violations = check_event(*sell(sales, **options)).violations
    return {one.kind: (one.purchases, one.cause) for one in violations}


@given(right_sales(), st.randoms(use_true_random=False))
def test_a_right_seller_is_clean_in_whatever_order_it_is_told(sales, random):
    ledger, history = sell(sales)
    random.shuffle(history)
    verdict = check_event(ledger, history)
    assert verdict.status == "clean"
    assert verdict == judge(ledger, history)


@given(right_sales(), st.booleans(), st.data())
def test_a_race_is_seen_and_one_after_the_other_is_none(sales, overlapping, data):
    one = Sale("a", "ok", at=(0.0, 10.0))
    other = Sale("b", "ok", at=(5.0 if overlapping else 10.0, 15.0), like="a")
    found = explained(put(data, sales, one, other))
    cause = "race" if overlapping else None
    assert found["duplicate"] == (("a", "b"), cause)
    assert found.keys() <= {"duplicate", "gap"}
    assert {named for _, named in found.values()} == {cause}


@given(right_sales(), st.integers(1, 4), st.booleans(), st.data())
def test_a_bad_quantity_is_seen(sales, blocks, backward, data):
    minting = Sale("m", "ok", -8 * blocks, at=(30.0, 31.0))
    victim = Sale("v", "ok", 8 * blocks, at=(28.0, 29.0))
    following = Sale("w", "ok", 8 * blocks, at=(32.0, 33.0))
    before = put(data, sales, victim)
    ledger, history = sell([*before, minting])
    if backward:
        end = ledger.total - ledger.available
        issues = [*ledger.issues, Issue(minting.holder, end + 1 + 8 * blocks, end)]
        ledger = replace(ledger, issues=issues)
    found = {one.kind: one for one in check_event(ledger, history).violations}
    assert found.keys() == {"drift", "backward"} if backward else {"drift"}
    for violation in found.values():
        assert (violation.purchases, violation.cause) == (("m",), "bad quantity")
    assert found["drift"].count == 8 * blocks
    sold_again = explained([*sales, victim, minting, following])
    assert sold_again["duplicate"] == (("v", "w"), "bad quantity")


# The sales that one fault leaves among right ones: what shows it, and its cause.
FAULTS = {
    "rows of a purchase without an answer": (
        [Sale("x", "unknown", ODD, done=False, rows=39, ranges=False)],
        *({"drift": ("x",), "issued_in_part": ("x",)}, "partial failure"),
    ),
    "rows of a refused purchase": (
        [Sale("x", "refused", ODD, done=False, rows=1, ranges=False)],
        *({"drift": ("x",), "issued_but_refused": ("x",)}, "partial failure"),
    ),
    "rows that are sold again": (
        [
            Sale("x", "refused", done=False, rows=7, at=(30.0, 31.0)),
            Sale("w", "ok", at=(31.0, 32.0)),
        ],
        *({"duplicate": ("x", "w")}, "partial failure"),
    ),
    "only the pool counted it": (
        [Sale("x", "unknown", ODD, done=False, counted=ODD)],
        *({"drift": ("x",)}, "partial failure"),
    ),
    "a request sold again": (
        [Sale("a", "ok", counted=24, rows=24)],
        *({"issued_beyond_asked": ("a",)}, "repeated request"),
    ),
    "a request without an answer sold again": (
        [Sale("a", "unknown", counted=16, rows=16, again=True)],
        *({"issued_beyond_asked": ("a",)}, "repeated request"),
    ),
    "refused and sold": ([Sale("a", "refused")], {"issued_but_refused": ("a",)}, "partial failure"),
    "never sent and sold": ([Sale("a", "failed")], {"issued_but_refused": ("a",)}, None),
}


@pytest.mark.parametrize(("faulty", "shown", "cause"), FAULTS.values(), ids=FAULTS)
@given(sales=right_sales(retries=False), data=st.data())
@settings(max_examples=30)
def test_a_single_fault_is_seen_and_its_cause_named(faulty, shown, cause, sales, data):
    *_, last = faulty
    # The pool gives numbers of rows that it did not count again: no sale follows them.
    left_rows = last.rows and not last.done
    found = explained([*sales, *faulty] if left_rows else put(data, sales, *faulty))
    assert {kind: found[kind][0] for kind in shown} == shown
    assert {named for _, named in found.values()} == {cause}


@given(right_sales(), st.data())
def test_a_confirmed_ticket_in_other_hands_is_seen(sales, data):
    ledger, history = sell(put(data, sales, Sale("a", "ok")))
    issues = [
        replace(issue, user="a stranger") if issue.user == "buyer of a" else issue
        for issue in ledger.issues
    ]
    (violation,) = check_event(replace(ledger, issues=issues), history).violations
    assert (violation.kind, violation.count) == ("acknowledged_missing", 8)
    assert (violation.purchases, violation.cause) == (("a",), None)


@given(right_sales(), st.integers(1, 100), st.data())
def test_a_pool_that_nobody_accounts_for_has_no_cause(sales, more, data):
    """Neither a purchase nor several come to this: not a multiple of 8."""
    assume(more % 8)
    ledger, history = sell(sales)
    off = replace(ledger, available=ledger.available - more, next_ticket_number=None)
    (violation,) = check_event(off, history).violations
    assert (violation.kind, violation.count) == ("drift", more)
    assert (violation.purchases, violation.cause) == ((), None)


# Whatever the ledger

spans = st.tuples(st.integers(-3, 30), st.integers(-2, 9)).map(lambda span: (span[0], sum(span)))
ledgers = st.builds(
    lambda total, available, following, some: EventLedger(
        "E",
        total,
        None if total is None else available,
        following,
        [Issue(f"buyer of s{user}", *span) for user, span in some],
    ),
    st.none() | st.integers(0, 40),
    st.integers(-20, 40),
    st.none() | st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 6), spans), max_size=8),
)


@given(ledgers, right_sales())
def test_whatever_is_found_is_explained_or_not_and_never_inconclusive(ledger, sales):
    """No ledger makes the search for causes fail, and looking for them finds no more."""
    _, history = sell(sales)
    verdict = judge(ledger, history)
    assert not verdict.inconclusive
    bare = check_event(ledger, history, explained=False)
    kinds = [(one.kind, one.count) for one in verdict.violations]
    assert kinds == [(one.kind, one.count) for one in bare.violations]
    assert all(not one.purchases and one.cause is None for one in bare.violations)
    for violation in verdict.violations:
        assert len(set(violation.purchases)) == len(violation.purchases)
        assert (violation.cause is None) or violation.reason


@given(ledgers, right_sales())
def test_nothing_that_came_one_after_the_other_is_called_a_race(ledger, sales):
    serial = [
        replace(sale, at=(10.0 * place + 5, 10.0 * place + 6)) for place, sale in enumerate(sales)
    ]
    verdict = check_event(ledger, sell(serial)[1])
    assert "race" not in {violation.cause for violation in verdict.violations}


@given(ledgers)
def test_without_a_history_only_a_range_backward_tells_a_cause(ledger):
    verdict = check_event(ledger)
    backward = any(issue.last < issue.first for issue in ledger.issues)
    causes = {violation.cause for violation in verdict.violations}
    assert causes <= ({None, "bad quantity"} if backward else {None})
    assert backward == ("bad quantity" in causes)
