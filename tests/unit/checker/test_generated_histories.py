"""The checker on generated histories: a right seller is clean, and each single fault is seen.

A seller sells a list of purchases in its order: numbers follow the pool, as in the service.
"""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from ticketsvc.lab.checker.check import check_event, judge
from ticketsvc.lab.ledger.records import EventLedger, Issue
from ticketsvc.lab.workload.history import Attempt


@dataclass(frozen=True)
class Sale:
    """One purchase: what its buyer asked for and was told, and what was done."""

    name: str
    outcome: str  # of its last attempt
    quantity: int = 8
    user: str = ""
    at: tuple[float, float] = (0.0, 1.0)
    done: bool = True
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
        counted = sale.quantity if sale.done else 0
        held = max(0, counted)
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
def right_sales(draw):
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
                again=outcome != "failed" and draw(st.booleans()),
                ranges=draw(st.booleans()),
            )
        )
    return sales


def put(data, sales, *more):
    """Put *more* sales among the others, next to each other."""
    place = data.draw(st.integers(0, len(sales)))
    return [*sales[:place], *more, *sales[place:]]


def explained(sales):
    violations = check_event(*sell(sales)).violations
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
