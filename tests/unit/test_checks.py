from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketsvc.lab.checks import check, check_event, check_schemas
from ticketsvc.lab.history import Attempt
from ticketsvc.lab.records import EventLedger, Issue


def ledger(total, available, *spans, following=None, event="E"):
    return EventLedger(event, total, available, following, [Issue("u", *span) for span in spans])


def told(*tickets, user="u", event="E", outcome="ok"):
    return Attempt("p", "http://h", user, event, 8, 0.0, 1.0, outcome, 200, tickets)


def found(verdict):
    return {violation.kind: violation.count for violation in verdict.violations}


# What the ledger is, what the buyers were told, and every violation with its count.
CASES = {
    "clean": (ledger(16, 8, (1, 8), following=9), [], {}),
    "clean in rows": (ledger(8, 6, (1, 1), (2, 2)), [], {}),
    "clean in any order": (ledger(24, 0, (17, 24), (1, 8), (9, 16)), [], {}),
    "nothing sold": (ledger(8, 8, following=1), [], {}),
    "no stock at all": (ledger(0, 0), [], {}),
    "clean, and the buyer holds it": (ledger(8, 0, (1, 8)), [told(1, 8)], {}),
    "duplicate": (ledger(24, 8, (1, 8), (1, 8)), [], {"duplicate": 8}),
    "duplicate in part": (ledger(24, 8, (1, 8), (5, 12)), [], {"duplicate": 4}),
    "duplicate within": (ledger(40, 16, (1, 16), (5, 12)), [], {"duplicate": 8}),
    "a row inside a range": (ledger(16, 7, (1, 8), (3, 3)), [], {"duplicate": 1}),
    "gap": (ledger(24, 8, (1, 8), (10, 17)), [], {"gap": 1}),
    "gap at the start": (ledger(24, 16, (9, 16)), [], {"gap": 8}),
    "gap hidden by an overlap": (
        ledger(40, 16, (1, 8), (5, 12), (17, 24)),
        [],
        {"duplicate": 4, "gap": 4},
    ),
    "out of range above": (ledger(8, 0, (1, 4), (9, 12)), [], {"out_of_range": 4, "gap": 4}),
    "out of range below": (ledger(16, 8, (-7, 0)), [], {"out_of_range": 8}),
    "oversold by range": (
        ledger(8, 0, (1, 12)),
        [],
        {"oversold": 4, "out_of_range": 4, "drift": 4},
    ),
    "oversold by duplicates": (
        ledger(8, 0, (1, 8), (1, 8)),
        [],
        {"oversold": 8, "duplicate": 8, "drift": 8},
    ),
    "negative stock": (ledger(8, -8, (1, 8)), [], {"negative_stock": 8, "drift": 8}),
    "drift, sold more than issued": (ledger(16, 0, (1, 8)), [], {"drift": 8}),
    "drift, issued more than sold": (ledger(16, 16, (1, 8)), [], {"drift": 8}),
    "drift of the next number": (ledger(16, 8, (1, 8), following=17), [], {"next_number_drift": 8}),
    "orphan": (ledger(None, None, (1, 8)), [], {"orphan": 8}),
    "acknowledged and nowhere": (
        ledger(8, 8),
        [told(*range(1, 9))],
        {"acknowledged_missing": 8},
    ),
    "acknowledged and in other hands": (
        ledger(8, 0, (1, 8)),
        [told(1, user="other")],
        {"acknowledged_missing": 1},
    ),
    "acknowledged in part": (
        ledger(8, 0, (1, 8)),
        [told(8, 9)],
        {"acknowledged_missing": 1},
    ),
}


@pytest.mark.parametrize(("state", "history", "expected"), CASES.values(), ids=CASES)
def test_verdict(state, history, expected):
    verdict = check_event(state, history)
    assert found(verdict) == expected
    assert verdict.clean == (not expected)
    assert verdict.oversold == ("oversold" in expected)
    assert all(violation.message for violation in verdict.violations)


def test_every_kind_has_a_case():
    kinds = {kind for _, _, expected in CASES.values() for kind in expected}
    assert kinds == {
        "acknowledged_missing",
        "drift",
        "duplicate",
        "gap",
        "negative_stock",
        "next_number_drift",
        "orphan",
        "out_of_range",
        "oversold",
    }


def test_the_reproduction_in_numbers():
    verdict = check_event(ledger(8, -232, *[(1, 8)] * 30))
    assert (verdict.issued, verdict.unique, verdict.duplicates) == (240, 8, 232)
    assert verdict.oversold
    assert found(verdict) == {"oversold": 232, "duplicate": 232, "negative_stock": 232}


def test_stock_minted_by_a_negative_quantity_is_seen_though_the_pool_looks_healthy():
    verdict = check_event(ledger(16, 0, (1, 8), (1, 8), (9, 16), following=17))
    assert found(verdict) == {"oversold": 8, "duplicate": 8, "drift": 8}


def test_nothing_to_judge():
    assert check([]) == []
    assert check([], [told()]) == []  # refused: no ticket was promised


def test_history_of_an_event_without_any_trace():
    (verdict,) = check([], [told(1, 2, event="GONE")])
    assert verdict.event == "GONE"
    assert found(verdict) == {"acknowledged_missing": 2}


def test_each_event_is_judged_by_its_own_history():
    one, two = check(
        [ledger(8, 0, (1, 8), event="A"), ledger(8, 8, event="B")],
        [told(1, event="A"), told(1, event="B")],
    )
    assert one.clean
    assert found(two) == {"acknowledged_missing": 1}


def test_a_history_is_held_against_the_schema_that_knows_its_buyers():
    ledgers = {"original": [ledger(8, 8)], "fixed": [ledger(16, 8, (1, 8))]}
    judged = dict(check_schemas(ledgers, [told(1), told(9)]))
    assert judged["original"].clean
    assert found(judged["fixed"]) == {"acknowledged_missing": 1}


def test_a_history_that_no_schema_knows_is_held_against_all():
    ledgers = {"original": [ledger(8, 8)], "fixed": [ledger(8, 8)]}
    for _, verdict in check_schemas(ledgers, [told(1)]):
        assert found(verdict) == {"acknowledged_missing": 1}


def test_a_backward_range_is_no_refund():
    """What quantity -8 writes where nothing forbids it: the sums would come out even."""
    verdict = check_event(ledger(24, 16, (1, 8), (9, 16), (17, 8)))
    assert "backward" in found(verdict)
    assert verdict.issued == 16


def test_verdict_as_plain_data():
    data = check_event(ledger(8, 0, (1, 8), (1, 8))).as_dict()
    assert data["duplicates"] == 8
    assert {violation["kind"] for violation in data["violations"]} >= {"duplicate"}


spans = st.lists(
    st.tuples(st.integers(-5, 60), st.integers(0, 20)).map(lambda span: (span[0], sum(span))),
    max_size=12,
)


@given(spans)
def test_issued_is_unique_and_duplicates(some):
    verdict = check_event(ledger(50, 50, *some))
    numbers = [number for first, last in some for number in range(first, last + 1)]
    assert verdict.issued == len(numbers) == verdict.unique + verdict.duplicates
    assert verdict.unique == len(set(numbers))
    gaps = set(range(1, max(numbers, default=0))) - set(numbers)
    assert found(verdict).get("gap", 0) == len(gaps)
    outside = [number for number in numbers if not 1 <= number <= 50]
    assert found(verdict).get("out_of_range", 0) == len(outside)


@st.composite
def sequential(draw):
    """A ledger as a perfect seller leaves it, in rows and ranges."""
    issues, last = [], 0
    for length in draw(st.lists(st.sampled_from([1, 8, 16, 128]), min_size=1, max_size=10)):
        issues.append(Issue(f"user{draw(st.integers(0, 3))}", last + 1, last + length))
        last += length
    left = draw(st.integers(0, 40))
    following = draw(st.sampled_from([None, last + 1]))
    return EventLedger("E", last + left, left, following, draw(st.permutations(issues)))


def answers(state):
    return [told(*range(i.first, i.last + 1), user=i.user) for i in state.issues]


@given(sequential())
def test_a_perfect_ledger_is_clean(state):
    assert check_event(state, answers(state)).clean


@given(sequential(), st.data())
def test_no_single_fault_goes_unseen(state, data):
    place = data.draw(st.integers(0, len(state.issues) - 1))
    issue, others = state.issues[place], [*state.issues[:place], *state.issues[place + 1 :]]
    some = data.draw(st.integers(-50, 50).filter(bool))
    shifted = replace(issue, first=issue.first + some, last=issue.last + some)
    faults = {
        "drop": replace(state, issues=others),
        "duplicate": replace(state, issues=[*state.issues, issue]),
        "shift": replace(state, issues=[*others, shifted]),
        "available": replace(state, available=state.available + some),
        "total": replace(state, total=state.total + some),
        "pool lost": replace(state, total=None, available=None),
    }
    faulty = faults[data.draw(st.sampled_from(sorted(faults)))]
    assert not check_event(faulty).clean


@given(sequential(), st.data())
def test_no_lost_confirmation_goes_unseen(state, data):
    lost = data.draw(st.sampled_from(state.issues))
    taken = replace(lost, user="somebody else")
    kept = [taken if issue is lost else issue for issue in state.issues]
    assert "acknowledged_missing" in found(check_event(replace(state, issues=kept), answers(state)))


def test_a_ticket_told_more_often_than_held():
    verdict = check_event(ledger(8, 0, (1, 8)), [told(1, 1, 1)])
    assert found(verdict) == {"acknowledged_missing": 2}
