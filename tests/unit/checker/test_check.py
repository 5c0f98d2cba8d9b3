import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.situations import read_situation, situations
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


# Each with the number of tickets, or purchases, that every violation concerns.
SITUATIONS = """
clean: a range, rows, any order, nothing sold, no stock
  16/8 next 9: U 1-8 | |
  8/6: U 1..2 | |
  24/0: U 17-24, U 1-8, U 9-16 | |
  8/8 next 1: | |
  0/0: | |
clean: the buyer holds what was confirmed
  8/0: U 1-8 | u 1-8 |
duplicate: whole, in part, within another, a row inside a range
  24/8: U 1-8, U 1-8 | | duplicate 8
  24/8: U 1-8, U 5-12 | | duplicate 4
  40/16: U 1-16, U 5-12 | | duplicate 8
  16/7: U 1-8, U 3-3 | | duplicate 1
gap: in the middle, at the start, hidden by an overlap
  24/8: U 1-8, U 10-17 | | gap 1
  24/16: U 9-16 | | gap 8
  40/16: U 1-8, U 5-12, U 17-24 | | duplicate 4, gap 4
out of range
  8/0: U 1-4, U 9-12 | | gap 4, out_of_range 4
  16/8: U -7-0 | | out_of_range 8
oversold, by a range and by duplicates
  8/0: U 1-12 | | oversold 4, drift 4, out_of_range 4
  8/0: U 1-8, U 1-8 | | oversold 8, duplicate 8, drift 8
negative stock
  8/-8: U 1-8 | | negative_stock 8, drift 8
drift: more sold than issued, more issued than sold, of the next number alone
  16/0: U 1-8 | | drift 8
  16/16: U 1-8 | | drift 8
  16/8 next 17: U 1-8 | | next_number_drift 8
a backward range is no refund: the sums would come out even
  16/8: U 1-8, U 9-8 | | backward 1
  24/16: U 1-8, U 9-16, U 17-8 | | backward 1, drift 8
stock added by a negative quantity, though the pool looks healthy
  16/0 next 17: U 1-8, U 1-8, U 9-16 | | oversold 8, duplicate 8, drift 8
confirmed: and nowhere, in other hands, in part, more often than held
  8/8: | u 1-8 | acknowledged_missing 8
  8/0: U 1-8 | o 1-1 | acknowledged_missing 1
  8/0: U 1-8 | u 8-9 | acknowledged_missing 1
  8/0: U 1-8 | u 1-1, u 1-1, u 9-9 | acknowledged_missing 1
refused, or never sent
  8/8: | u refused |
  8/0: U 1-8 | u refused | issued_but_refused 8
  8/0: U 1-8 | u failed | issued_but_refused 8
  8/0: U 1-8 | o refused |
no answer: there, not there, in part, twice
  8/0: U 1-8 | u unknown |
  8/8: | u unknown |
  8/5: U 1-3 | u unknown | issued_in_part 3
  16/0: U 1-8, U 9-16 | u unknown | issued_beyond_asked 8
  11/0: U 1-11 | u 1-8, q by U unknown | issued_in_part 3
  8/0: U 1-8 | u unknown, u 1-8 |
sold, and more than that
  16/0: U 1-8, U 9-16 | u 1-8 | issued_beyond_asked 8
  9/0: U 1-9 | u 1-8 | issued_beyond_asked 1
  8/7: U 1-1 | u of -8 | issued_beyond_asked 1
answered twice: with the same tickets, with others, with one in common
  8/0: U 1-8 | u 1-8, u 1-8 |
  16/0: U 1-8, U 9-16 | u 1-8, u 9-16 | issued_beyond_asked 8
  8/0: U 1-8 | u 1-2, u 2-3 |
sold without a number
  8/0: U 1-8 | u |
"""


@pytest.mark.parametrize(("title", "line"), situations(SITUATIONS))
def test_situation(title, line):
    state, history, expected = read_situation(line)
    verdict = check_event(state, history)
    shown = ", ".join(f"{one.kind} {one.count}" for one in verdict.violations)
    assert shown == expected, title
    assert verdict.clean == (not expected)
    assert verdict.oversold == ("oversold" in expected)
    assert all(violation.message for violation in verdict.violations)


def test_tickets_of_no_event_are_orphans():
    assert found(check_event(ledger(None, None, (1, 8)))) == {"orphan": 8}


def test_a_message_lists_some_numbers_and_counts_the_rest():
    spans = [(1, 8), (10, 11), (14, 14), (16, 16), (18, 18), (20, 20), (22, 22)]
    messages = [one.message for one in check_event(ledger(22, 7, *spans)).violations]
    assert messages == ["7 numbers left out: 9, 12-13, 15, 17, 19 and 1 more"]


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
        for n in range(9_000)
    ]
    state = ledger(10**6, 10**6 - 120_000, (1, 120_000))
    assert check_event(state, history).clean
    assert found(check_event(ledger(10**6, 879_997, (1, 120_003)), history)) == {
        "issued_in_part": 3
    }


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
