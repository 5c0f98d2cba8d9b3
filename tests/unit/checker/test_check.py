import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticketsvc.lab.checker import check as checks
from ticketsvc.lab.checker.check import check, check_event, check_schemas, judge
from ticketsvc.lab.ledger.records import EventLedger, Issue
from ticketsvc.lab.workload.history import Attempt


def ledger(total, available, *spans, following=None, event="E"):
    return EventLedger(event, total, available, following, [Issue("u", *span) for span in spans])


def told(*tickets, user="u", event="E", outcome="ok"):
    return Attempt(
        "p", "http://h", user, event, max(8, len(tickets)), 0.0, 1.0, outcome, 200, tickets
    )


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
    "backward": (ledger(16, 8, (1, 8), (9, 8)), [], {"backward": 1}),
    "refused, and not there": (ledger(8, 8), [told(outcome="refused")], {}),
    "refused, and there": (
        ledger(8, 0, (1, 8)),
        [told(outcome="refused")],
        {"issued_but_refused": 8},
    ),
    "never sent, and there": (
        ledger(8, 0, (1, 8)),
        [told(outcome="failed")],
        {"issued_but_refused": 8},
    ),
    "no answer, and there": (ledger(8, 0, (1, 8)), [told(outcome="unknown")], {}),
    "no answer, and not there": (ledger(8, 8), [told(outcome="unknown")], {}),
    "no answer, and there in part": (
        ledger(8, 5, (1, 3)),
        [told(outcome="unknown")],
        {"issued_in_part": 3},
    ),
    "no answer, and there twice": (
        ledger(16, 0, (1, 8), (9, 16)),
        [told(outcome="unknown")],
        {"issued_beyond_asked": 8},
    ),
    "sold twice, and told once": (
        ledger(16, 0, (1, 8), (9, 16)),
        [told(*range(1, 9))],
        {"issued_beyond_asked": 8},
    ),
    "sold, and one ticket more": (
        ledger(9, 0, (1, 9)),
        [told(*range(1, 9))],
        {"issued_beyond_asked": 1},
    ),
    "sold, and another without an answer in part": (
        ledger(11, 0, (1, 11)),
        [told(*range(1, 9)), replace(told(outcome="unknown"), purchase="q")],
        {"issued_in_part": 3},
    ),
    "no answer, then sold": (
        ledger(8, 0, (1, 8)),
        [told(outcome="unknown"), told(*range(1, 9))],
        {},
    ),
    "answered twice with the same tickets": (
        ledger(8, 0, (1, 8)),
        [told(*range(1, 9)), told(*range(1, 9))],
        {},
    ),
    "answered twice with other tickets": (
        ledger(16, 0, (1, 8), (9, 16)),
        [told(*range(1, 9)), told(*range(9, 17))],
        {"issued_beyond_asked": 8},
    ),
    "answered twice with one ticket in common": (
        ledger(8, 0, (1, 8)),
        [told(1, 2), told(2, 3)],
        {},
    ),
    "asked for less than nothing, and holds one": (
        ledger(8, 7, (1, 1)),
        [replace(told(), quantity=-8)],
        {"issued_beyond_asked": 1},
    ),
    "sold without a number": (ledger(8, 0, (1, 8)), [told()], {}),
    "another buyer's tickets": (ledger(8, 0, (1, 8)), [told(user="other", outcome="refused")], {}),
    "another event's refusal": (ledger(8, 0, (1, 8)), [told(event="F", outcome="refused")], {}),
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
        "backward",
        "drift",
        "duplicate",
        "gap",
        "issued_beyond_asked",
        "issued_but_refused",
        "issued_in_part",
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


def test_what_is_said_of_a_violation():
    some = [(1, 8), (1, 8), (10, 11), (11, 11), (14, 14), (16, 16), (18, 18), (20, 20), (22, 22)]
    said = {
        one.kind: one.message for one in check_event(ledger(20, 4, *some, following=7)).violations
    }
    assert said == {
        "oversold": "24 tickets issued of 20",
        "duplicate": "9 tickets issued more than once: 1-8, 11",
        "gap": "7 tickets left out: 9, 12-13, 15, 17, 19 and 1 more",
        "out_of_range": "numbers outside 1 to 20: 22",
        "drift": "the pool says 16 are sold, 24 are issued",
        "next_number_drift": "the next number is 7, the pool says 17",
    }
    assert check_event(ledger(8, 8), [told(*range(1, 9))]).violations[0].message == (
        "8 tickets were confirmed to a buyer who does not hold them: 1, 2, 3, 4, 5 and 3 more"
    )


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
    judged = dict(check_schemas(ledgers, [told(1), told(9)], our_rules=ledgers))
    assert judged["original"].clean
    assert found(judged["fixed"]) == {"acknowledged_missing": 1}


def test_a_history_that_no_schema_knows_is_held_against_all():
    ledgers = {"original": [ledger(8, 8)], "fixed": [ledger(8, 8)]}
    for _, verdict in check_schemas(ledgers, [told(1)], our_rules=ledgers):
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
    return [
        replace(
            told(*range(issue.first, issue.last + 1), user=issue.user),
            purchase=f"p{place}",
            quantity=issue.last - issue.first + 1,
        )
        for place, issue in enumerate(state.issues)
    ]


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


# What cannot be judged


def unknown(state, history=()):
    verdict = judge(state, history)
    return (verdict.status, verdict.clean, len(verdict.inconclusive)) == ("unknown", False, 1)


def test_a_status_for_each_case():
    assert judge(ledger(8, 8)).status == "clean"
    assert judge(ledger(8, 0)).status == "violated"
    assert judge(ledger(8, 8)).as_dict()["status"] == "clean"
    assert unknown(EventLedger("E", 8, None))


@pytest.mark.parametrize("number", [None, "1", object()])
def test_a_number_that_is_none_is_never_clean(number):
    state = EventLedger("E", 8, 7, None, [Issue("u", number, number)])
    with pytest.raises(TypeError):
        check_event(state)
    assert unknown(state)
    assert [verdict.status for verdict in check([state])] == ["unknown"]


@pytest.mark.parametrize("pool", [(None, 8), (8, None), (True, True), (8.0, 8.0)])
def test_a_pool_that_cannot_be_summed_up_is_never_clean(pool):
    assert not judge(EventLedger("E", *pool)).clean
    assert judge(EventLedger("E", *pool)).inconclusive


def test_a_checker_that_raises_says_unknown(monkeypatch):
    """The whole of it: and the same ledger is clean when it does not raise."""
    state, history = ledger(8, 0, (1, 8)), [told(1)]
    assert judge(state, history).clean

    def broken(*_):
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(checks, "find_discrepancies", broken)
    assert unknown(state, history)
    verdict = judge(state, history)
    assert verdict.inconclusive == ("the check failed: ZeroDivisionError: broken",)
    assert (verdict.issued, verdict.unique, verdict.duplicates) == (0, 0, 0)


def test_a_violation_stands_though_its_cause_could_not_be_looked_for(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(checks, "explain", broken)
    verdict = judge(ledger(8, 0, (1, 8), (1, 8)))
    assert verdict.status == "violated"
    assert found(verdict) == {"oversold": 8, "duplicate": 8, "drift": 8}
    assert "broken" in verdict.inconclusive[0]


CONTRADICTIONS = {
    "refused, with tickets": told(1, outcome="refused"),
    "no answer, with tickets": told(1, outcome="unknown"),
    "answered before it was sent": replace(told(1), sent_s=2.0),
    "sent at no time": replace(told(1), sent_s=float("nan")),
}


@pytest.mark.parametrize("attempt", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_history_that_contradicts_itself_proves_nothing(attempt):
    assert unknown(ledger(8, 0, (1, 8)), [attempt])
    # But what the ledger shows by itself stands.
    verdict = judge(ledger(8, 0, (1, 8), (1, 8)), [attempt])
    assert found(verdict) == {"oversold": 8, "duplicate": 8, "drift": 8}
    assert verdict.inconclusive


def of_run(number, *tickets, outcome="ok"):
    user, name = f"buyer-0badcafe-{number}", f"0badcafe-{number}"
    return replace(told(*tickets, user=user, outcome=outcome), purchase=name)


def test_a_history_cut_short_is_never_clean():
    issues = [Issue(f"buyer-0badcafe-{n}", 8 * n - 7, 8 * n) for n in (1, 2, 3)]
    state = EventLedger("E", 24, 0, None, issues)
    whole = [of_run(n, *range(8 * n - 7, 8 * n + 1)) for n in (1, 2, 3)]
    assert judge(state, whole).clean
    for cut in range(3):
        # Of the last one only the tickets in a buyer's hands tell that it is lacking.
        assert unknown(state, whole[:cut] + whole[cut + 1 :])
    assert judge(state, []).clean


def test_what_a_lacking_attempt_may_account_for_is_held_against_nobody():
    state = ledger(16, 0, (1, 8), (9, 16))
    state = replace(state, issues=[replace(one, user="buyer-0badcafe-2") for one in state.issues])
    assert unknown(state, [of_run(2, *range(1, 9))])
    complete = [of_run(1, outcome="refused"), of_run(2, *range(1, 9))]
    assert found(judge(state, complete)) == {"issued_beyond_asked": 8}
    lost = judge(state, [of_run(2, 99)])
    assert found(lost) == {"acknowledged_missing": 1}


@pytest.mark.parametrize(
    "attempt",
    [
        replace(told(1), sent_s=1.0),
        replace(told(user="other", outcome="refused"), sent_s=2.0),  # before it was all sent
    ],
)
def test_what_may_have_been_is_no_contradiction(attempt):
    assert judge(ledger(8, 0, (1, 8)), [attempt]).clean


@pytest.mark.parametrize("stranger", ["u", "buyer-0badcafe", "buyer-00000000-4", "buyer-0badcafe-"])
def test_other_holders_do_not_cut_a_history_short(stranger):
    state = EventLedger("E", 16, 0, None, [Issue("buyer-0badcafe-1", 1, 8), Issue(stranger, 9, 16)])
    assert judge(state, [of_run(1, *range(1, 9))]).clean


# Purchases without an answer


@pytest.mark.parametrize(
    ("spans", "quantities", "expected"),
    [
        ([], [8], (0, 1, 0)),
        ([(1, 8)], [8], (1, 0, 0)),
        ([(1, 3)], [8], (0, 0, 1)),
        ([(1, 8)], [8, 8, 8], (1, 2, 0)),
        ([(1, 24)], [8, 16], (2, 0, 0)),
        ([(1, 8)], [8, 16], (0, 0, 2)),
        ([(1, 24)], [8, 16, 24], (0, 0, 3)),
        ([], [-8, 8], (0, 1, 1)),
        ([], [-8], (0, 0, 1)),
        ([(1, 16)], [0], (0, 0, 1)),
    ],
)
def test_how_purchases_without_an_answer_turned_out(spans, quantities, expected):
    history = [
        replace(told(outcome="unknown"), purchase=f"p{place}", quantity=quantity)
        for place, quantity in enumerate(quantities)
    ]
    sold = sum(last - first + 1 for first, last in spans)
    unknowns = check_event(ledger(100, 100 - sold, *spans), history).unknowns
    assert (unknowns.sold, unknowns.not_sold, unknowns.undecidable) == expected


def test_where_a_sale_without_numbers_may_hold_them_it_cannot_be_decided():
    history = [told(), replace(told(outcome="unknown"), purchase="q")]
    unknowns = check_event(ledger(24, 16, (1, 8)), history).unknowns
    assert (unknowns.sold, unknowns.not_sold, unknowns.undecidable) == (0, 0, 1)


@given(st.lists(st.sampled_from([8, 16, 24, 40]), max_size=6), st.integers(0, 100))
@example([8, 8, 40], 24)
@example([8, 16], 12)
@example([16, 16], 8)
def test_any_subset_of_unknown_purchases_may_be_there_and_nothing_else(quantities, held):
    history = [
        replace(told(outcome="unknown"), purchase=f"p{place}", quantity=quantity)
        for place, quantity in enumerate(quantities)
    ]
    verdict = check_event(ledger(200, 200 - held, *[(1, held)] * (held > 0)), history)
    subsets = itertools.chain.from_iterable(
        itertools.combinations(quantities, size) for size in range(len(quantities) + 1)
    )
    assert verdict.clean == (not history or held in map(sum, subsets))


def test_thousands_of_unknown_purchases_of_one_buyer():
    history = [
        replace(told(outcome="unknown"), purchase=f"p{n}", quantity=8 + 8 * (n % 3))
        for n in range(30_000)
    ]
    state = ledger(10**6, 10**6 - 400_000, (1, 400_000))
    assert check_event(state, history).clean
    assert found(check_event(ledger(10**6, 599_997, (1, 400_003)), history)) == {
        "issued_in_part": 3
    }


def test_a_ticket_told_more_often_than_held():
    verdict = check_event(ledger(8, 0, (1, 8)), [told(1, 1, 1)])
    assert found(verdict) == {"acknowledged_missing": 2}


# Schemas that are not ours


def test_our_rules_are_not_applied_to_other_schemas():
    """Numbers from 501 on, sold in threes: no violation there, and two by our rules."""
    state = ledger(10, 4, (501, 506))
    history = [told(*range(501, 507))]
    assert check_event(state, history, our_rules=False).clean
    assert found(check_event(state, history)) == {"gap": 500, "out_of_range": 6}


def test_duplicates_are_violations_under_any_rules():
    state = ledger(10, 4, (501, 503), (501, 503))
    assert found(check_event(state, our_rules=False)) == {"duplicate": 3}


def test_a_pool_without_a_total_is_judged_without_oversell():
    verdict = check_event(EventLedger("E", None, 4), our_rules=False)
    assert (verdict.status, verdict.not_checked) == ("clean", ("oversell: no total",))
    assert check_event(EventLedger("E", None, 4)).status == "unknown"
