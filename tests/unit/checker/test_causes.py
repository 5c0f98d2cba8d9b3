"""Who shows a violation, and what caused it: histories made by hand, and negative controls."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketsvc.lab.checker.check import check_event, listed
from ticketsvc.lab.checker.spans import overlapping_pairs
from ticketsvc.lab.ledger.records import EventLedger, Issue
from ticketsvc.lab.workload.history import Attempt

OK, REFUSED, FAILED, UNKNOWN = "ok", "refused", "failed", "unknown"


def asked(name, *span, quantity=8, outcome=OK, at=(0, 1), user=None):
    """One attempt of one purchase; with *span* in its answer when it is ok."""
    told = tuple(range(span[0], span[1] + 1)) if span and outcome == OK else ()
    user = user or name.upper()
    return Attempt(name, "http://h", user, "E", quantity, *map(float, at), outcome, None, told)


def ledger(total, available, *issues, following=None):
    return EventLedger("E", total, available, following, [Issue(*issue) for issue in issues])


def rows(user, first, last):
    return [(user, number, number) for number in range(first, last + 1)]


def explained(state, history=()):
    """What was found: kind → (purchases, cause)."""
    violations = check_event(state, history).violations
    assert all(bool(one.reason) >= (one.cause is not None) for one in violations)
    return {one.kind: (one.purchases, one.cause) for one in violations}


TOGETHER, AFTERWARDS, AT_ONCE_AFTER = (0.5, 1.5), (2, 3), (1, 2)
SAME = ledger(24, 8, ("A", 1, 8), ("B", 1, 8))


def test_two_at_a_time_with_the_same_numbers_raced():
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER)]
    assert explained(SAME, history) == {"duplicate": (("a", "b"), "race")}


@pytest.mark.parametrize("later", [AFTERWARDS, AT_ONCE_AFTER])
def test_of_two_one_answered_before_the_other_was_sent_neither_raced(later):
    history = [asked("a", 1, 8), asked("b", 1, 8, at=later)]
    assert explained(SAME, history) == {"duplicate": (("a", "b"), None)}
    assert explained(SAME, history[::-1]) == {"duplicate": (("a", "b"), None)}


@pytest.mark.parametrize("outcome", [UNKNOWN, REFUSED, FAILED])
def test_a_race_takes_two_that_were_acknowledged(outcome):
    history = [asked("a", 1, 8), asked("b", at=TOGETHER, outcome=outcome)]
    assert explained(SAME, history)["duplicate"] == (("a", "b"), None)


def test_without_a_history_buyers_and_numbers_are_named_and_no_cause():
    assert explained(SAME) == {"duplicate": (("A 1-8", "B 1-8"), None)}
    state = ledger(24, 8, *rows("A", 1, 8), *rows("B", 1, 8))
    assert explained(state) == {"duplicate": (("A 1-8", "B 1-8"), None)}
    twice = ledger(24, 8, *rows("A", 1, 8), *rows("A", 1, 8))
    assert explained(twice) == {"duplicate": (("A 1-8", "A 1-8 (2)"), None)}


def test_a_stranger_among_the_rows_does_not_make_a_race():
    assert explained(SAME, [asked("a", 1, 8)]) == {"duplicate": (("a", "B 1-8"), None)}


def test_the_reproduction():
    """Thirty at a time, each answered with the same eight: two of them are enough to show it."""
    everybody = [f"p{number}" for number in range(30)]
    state = ledger(8, -232, *(row for name in everybody for row in rows(name.upper(), 1, 8)))
    found = explained(state, [asked(name, 1, 8) for name in everybody])
    assert found.keys() == {"oversold", "negative_stock", "duplicate"}
    for purchases, cause in found.values():
        assert (len(purchases), cause) == (2, "race")


def test_of_many_pairs_one_with_a_cause_is_named():
    state = ledger(40, 8, ("A", 1, 8), ("B", 1, 8), ("C", 9, 16), ("D", 9, 16))
    serial = [asked("a", 1, 8), asked("b", 1, 8, at=AFTERWARDS)]
    history = [*serial, asked("c", 9, 16, at=(4, 5)), asked("d", 9, 16, at=(4, 5))]
    assert explained(state, history)["duplicate"] == (("c", "d"), "race")


def test_the_numbers_left_out_because_others_went_out_twice():
    state = ledger(24, 0, ("A", 1, 8), ("B", 1, 8), ("C", 17, 24))
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER), asked("c", 17, 24, at=(5, 6))]
    assert explained(state, history)["gap"] == (("c",), "race")
    assert explained(state)["gap"] == (("C 17-24",), None)


def test_a_stock_that_two_took_the_last_of_without_a_number_in_common():
    state = ledger(16, -8, ("A", 1, 8), ("B", 9, 16), ("C", 17, 24))
    raced = [asked("a", 1, 8), asked("b", 9, 16, at=(2, 4)), asked("c", 17, 24, at=(3, 5))]
    found = explained(state, raced)
    assert {cause for _, cause in found.values()} == {"race"}
    assert set(found["oversold"][0]) == {"a", "b", "c"}
    assert found["out_of_range"][0] == ("c",)
    # The last one was alone: whoever looked at the stock would have seen the others' sales.
    alone = [asked("a", 1, 8), asked("b", 9, 16), asked("c", 17, 24, at=(3, 5))]
    assert {cause for _, cause in explained(state, alone).values()} == {None}


def test_an_update_that_was_lost_with_the_tickets_that_went_out_twice():
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER)]
    found = explained(ledger(8, 0, ("A", 1, 8), ("B", 1, 8)), history)
    assert found["drift"] == (("a", "b"), "race")


def test_a_confirmed_number_that_another_got_at_the_same_time():
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER)]
    state = ledger(8, 0, ("B", 1, 8))
    assert explained(state, history) == {"acknowledged_missing": (("a",), "race")}
    serial = [asked("a", 1, 8), asked("b", 1, 8, at=AFTERWARDS)]
    assert explained(state, serial) == {"acknowledged_missing": (("a",), None)}


def test_a_confirmed_number_that_nobody_has():
    history = [asked("a", 1, 8), asked("b", 9, 16, at=TOGETHER)]
    found = explained(ledger(16, 8, ("A", 1, 8)), history)
    assert found == {"acknowledged_missing": (("b",), None)}


@pytest.mark.parametrize("spans", [((1, 8), (5, 12)), ((5, 12), (1, 8))])
def test_whoever_has_the_lower_numbers_at_once_after_is_no_race(spans):
    history = [asked("a", *spans[0]), asked("b", *spans[1], at=AT_ONCE_AFTER)]
    state = ledger(24, 8, ("A", *spans[0]), ("B", *spans[1]))
    assert explained(state, history)["duplicate"][1] is None
    history[1] = asked("b", *spans[1], at=TOGETHER)
    assert explained(state, history)["duplicate"][1] == "race"


def test_an_answer_without_numbers_may_have_meant_any():
    history = [asked("a"), asked("b", at=TOGETHER)]
    assert explained(SAME, history) == {"duplicate": (("a", "b"), "race")}
    for some in ([history[0], asked("b", 1, 8, at=TOGETHER)], [asked("a", 1, 8), history[1]]):
        assert explained(SAME, some) == {"duplicate": (("a", "b"), "race")}


def test_the_last_of_the_stock_without_an_answer_is_no_race():
    state = ledger(8, -8, ("A", 1, 8), ("B", 9, 16))
    history = [asked("a", 1, 8), asked("b", outcome=UNKNOWN, at=TOGETHER)]
    assert explained(state, history)["oversold"] == (("b", "a"), None)
    history[1] = asked("b", 9, 16, at=TOGETHER)
    assert explained(state, history)["oversold"] == (("b", "a"), "race")


def test_of_those_that_are_too_many_the_suspects_are_named():
    state = ledger(8, -16, ("A", 1, 8), ("B", 1, 8), ("C", 9, 16))
    assert explained(state)["oversold"][0] == ("A 1-8", "B 1-8")
    state = ledger(16, -24, *((f"U{n}", 8 * n + 1, 8 * n + 8) for n in range(5)))
    assert explained(state)["oversold"][0] == ("U2 17-24", "U3 25-32", "U4 33-40")
    state = ledger(16, -8, ("A", -7, 0), ("B", 1, 16))
    assert explained(state)["oversold"][0] == ("B 1-16", "A -7-0")
    state = ledger(8, -16, ("A", -7, 0), ("B", 1, 8), ("C", 9, 16))
    assert explained(state)["oversold"][0] == ("A -7-0", "C 9-16")


def test_a_drift_that_is_not_of_the_copies_is_not_of_the_race():
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER)]
    found = explained(ledger(24, 11, ("A", 1, 8), ("B", 1, 8)), history)
    assert found == {"duplicate": (("a", "b"), "race"), "drift": (("a", "b"), None)}


def test_a_gap_that_the_copies_do_not_account_for():
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER)]
    wider = ledger(32, 8, ("A", 1, 8), ("B", 1, 8), ("C", 25, 32))
    assert explained(wider, history)["gap"] == (("C 25-32",), None)
    adrift = ledger(24, 8, ("A", 1, 8), ("B", 1, 8), ("C", 17, 24))
    assert explained(adrift, history)["gap"] == (("C 17-24",), None)


def test_one_number_told_to_two_purchases_of_a_buyer_who_holds_it_once():
    state = ledger(16, 0, ("A", 1, 8), ("A", 9, 16))
    history = [asked("a", 1, 8), asked("b", 8, 15, user="A", at=TOGETHER)]
    assert explained(state, history) == {"acknowledged_missing": (("a", "b"), "race")}
    third = asked("d", 8, 8, quantity=1, user="A")
    assert len(explained(state, [*history, third])["acknowledged_missing"][0]) == 2
    # Another number was told to one alone, and shows it too.
    history.append(asked("c", 99, 99, quantity=1, user="A"))
    history[0] = asked("a", 1, 8)
    assert explained(state, history)["acknowledged_missing"][0] == ("c",)


# Bad quantity


def test_a_range_backward_is_evidence_by_itself():
    state = ledger(16, 16, ("A", 1, 8), ("M", 9, 0))
    assert explained(state)["backward"] == (("M 9-0",), "bad quantity")
    assert explained(state)["drift"] == (("M 9-0",), "bad quantity")
    assert explained(state, [asked("m", quantity=-8)])["backward"] == (("m",), "bad quantity")


MINTED = [
    asked("a", 1, 8),
    asked("m", quantity=-8, at=(2, 3)),
    asked("b", 1, 8, at=(4, 5)),
    asked("c", 9, 16, at=(6, 7)),
]


@pytest.mark.parametrize("ranges", [[], [("M", 9, 0)]])
def test_minted_stock_is_sold_again(ranges):
    """Buying 8, -8, 8, 8 of 16: the pool reads available 0 and looks well."""
    state = ledger(16, 0, ("A", 1, 8), *ranges, ("B", 1, 8), ("C", 9, 16), following=17)
    found = explained(state, MINTED)
    assert found["duplicate"] == (("a", "b"), "bad quantity")
    assert found["drift"] == (("m",), "bad quantity")
    assert found["oversold"][1] == "bad quantity"
    assert len(found["oversold"][0]) == 3


def test_a_bad_quantity_that_came_too_late_or_to_nothing_explains_nothing():
    state = ledger(24, 8, ("A", 1, 8), ("B", 1, 8))
    serial = [asked("a", 1, 8), asked("b", 1, 8, at=AFTERWARDS)]
    refused = asked("m", quantity=-8, outcome=REFUSED, at=(1, 2))
    assert explained(state, [*serial, refused]) == {"duplicate": (("a", "b"), None)}
    late = asked("m", quantity=-8, at=(4, 5))
    assert explained(state, [*serial, late])["duplicate"] == (("a", "b"), None)


def test_where_both_a_race_and_minted_stock_would_explain_it_neither_is_proved():
    state = ledger(24, 16, ("A", 1, 8), ("B", 1, 8))
    history = [asked("a", 1, 8), asked("b", 1, 8, at=TOGETHER), asked("m", quantity=-8)]
    assert explained(state, history)["duplicate"] == (("a", "b"), None)


@pytest.mark.parametrize(("span", "kind"), [((1, 8), "acknowledged_missing"), ((1, 16), "drift")])
def test_rows_that_are_not_as_many_as_a_bad_quantity(span, kind):
    history = [asked("a", 1, 12, quantity=12)]
    state = ledger(24, 12, ("A", *span))
    assert explained(state, history)[kind] == (("a",), "bad quantity")


def test_a_bad_quantity_that_gave_nothing_back_explains_no_copies():
    state = ledger(24, -4, ("A", 1, 8), ("B", 1, 8), ("M", 9, 16))
    history = [
        asked("a", 1, 8),
        asked("b", 1, 8, at=AFTERWARDS),
        asked("m", 9, 16, quantity=12),
    ]
    found = explained(state, history)
    assert found["duplicate"] == (("a", "b"), None)
    assert found["drift"] == (("m",), "bad quantity")


@pytest.mark.parametrize(("minted", "cause"), [(8, "bad quantity"), (7, None)])
def test_stock_that_was_minted_and_sold_with_numbers_of_their_own(minted, cause):
    state = ledger(16, 0, ("A", 1, 8), ("B", 9, 16), ("M", 17, 16 - minted), ("C", 17, 24))
    history = [
        asked("a", 1, 8),
        asked("m", quantity=-8, at=(2, 3)),
        asked("b", 9, 16, at=(4, 5)),
        asked("c", 17, 24, at=(6, 7)),
    ]
    found = explained(state, history)
    assert found["oversold"][1] == found["out_of_range"][1] == cause
    assert found["out_of_range"][0] == ("c",)


def test_minted_stock_takes_numbers_below_one():
    state = ledger(16, 16, ("A", -7, 0))
    history = [asked("m", quantity=-8), asked("a", -7, 0, at=AFTERWARDS)]
    assert explained(state, history)["out_of_range"] == (("a",), "bad quantity")
    assert explained(state, history[1:])["out_of_range"] == (("a",), None)


def test_a_bad_quantity_that_was_sold_as_asked_is_no_violation():
    assert explained(ledger(24, 12, ("A", 1, 12)), [asked("a", 1, 12, quantity=12)]) == {}


# Partial failure


@pytest.mark.parametrize(
    ("outcome", "kind"), [(UNKNOWN, "issued_in_part"), (REFUSED, "issued_but_refused")]
)
def test_rows_that_the_pool_did_not_count(outcome, kind):
    history = [asked("a", 1, 8), asked("x", outcome=outcome)]
    state = ledger(24, 16, ("A", 1, 8), *rows("X", 9, 11))
    both = (("x",), "partial failure")
    assert explained(state, history) == {"drift": both, kind: both}


def test_rows_of_a_purchase_that_was_never_sent_have_no_cause():
    found = explained(ledger(8, 8, *rows("X", 1, 3)), [asked("x", outcome=FAILED)])
    assert found == {"drift": (("x",), None), "issued_but_refused": (("x",), None)}


@pytest.mark.parametrize("outcome", [UNKNOWN, REFUSED])
def test_a_pool_that_counted_what_nobody_holds(outcome):
    history = [asked("a", 1, 8), asked("x", quantity=16, outcome=outcome), asked("b", 25, 32)]
    state = ledger(32, 0, ("A", 1, 8), ("B", 25, 32))
    found = explained(state, history)
    assert found == {
        "drift": (("x",), "partial failure"),
        "gap": (("b",), "partial failure"),
    }
    assert {cause for _, cause in explained(state, [history[0], history[2]]).values()} == {None}


def test_all_rows_are_there_and_the_pool_did_not_count_them():
    found = explained(ledger(8, 8, *rows("X", 1, 8)), [asked("x", outcome=UNKNOWN)])
    assert found == {"drift": (("x",), "partial failure")}


def test_what_was_sold_and_is_not_all_there_comes_before_what_may_have_been():
    """Acknowledged, it did not fail half-way for all that is known: it has no cause."""
    maybe = asked("x", outcome=UNKNOWN)
    lost = [maybe, asked("a", 1, 8), asked("b", 9, 16)]
    state = ledger(24, 8, ("A", 1, 8))
    assert explained(state, lost)["drift"] == (("b",), None)
    part = ledger(24, 16, *rows("A", 1, 3))
    assert explained(part, [maybe, asked("a")])["drift"] == (("a",), None)


def test_an_answer_without_numbers_promises_nothing_that_the_pool_counted():
    state = ledger(24, 8, ("B", 1, 8))
    assert explained(state, [asked("a"), asked("b", 1, 8)])["drift"] == (("a",), None)
    partly = [asked("a"), asked("b", 1, 8, quantity=16)]
    assert explained(state, partly)["drift"] == (("b",), None)


def test_no_answer_comes_before_a_refusal():
    history = [asked("x", outcome=REFUSED), asked("y", outcome=UNKNOWN)]
    assert explained(ledger(8, 0), history) == {"drift": (("y",), "partial failure")}


def test_no_more_are_named_than_it_takes_though_all_come_to_the_same():
    history = [
        asked("x", outcome=REFUSED),
        asked("y", outcome=REFUSED),
        asked("b", 17, 32, quantity=16),
    ]
    state = ledger(40, 24, ("X", 1, 8), ("Y", 9, 16), ("B", 17, 24))
    assert explained(state, history)["drift"] == (("x",), "partial failure")


def test_what_more_would_explain_as_well_does_not_make_it_uncertain():
    history = [
        asked("x", outcome=REFUSED),
        asked("m", quantity=-16),
        asked("b", 17, 32, quantity=16),
    ]
    state = ledger(40, 32, ("X", 1, 8), ("B", 9, 16))
    assert explained(state, history)["drift"] == (("x",), "partial failure")


def test_a_purchase_that_was_never_sent_the_pool_did_not_count():
    assert explained(ledger(8, 0), [asked("x", outcome=FAILED)]) == {"drift": ((), None)}


def test_two_attempts_without_an_answer_left_rows_once():
    history = [asked("x", outcome=UNKNOWN), asked("x", outcome=UNKNOWN, at=AFTERWARDS)]
    found = explained(ledger(8, 8, *rows("X", 1, 8)), history)
    assert found == {"drift": (("x",), "partial failure")}


def test_more_rows_than_one_failure_leaves_are_not_one():
    found = explained(ledger(16, 16, *rows("X", 1, 16)), [asked("x", outcome=UNKNOWN)])
    assert found["drift"] == (("x",), None)


@pytest.mark.parametrize("outcome", [UNKNOWN, REFUSED])
def test_a_bad_quantity_may_have_been_given_back_without_an_answer(outcome):
    history = [asked("a", 1, 8), asked("m", quantity=-8, outcome=outcome, at=AFTERWARDS)]
    found = explained(ledger(8, 8, ("A", 1, 8)), history)
    assert found == {"drift": (("m",), "bad quantity")}
    assert explained(ledger(8, 0, ("A", 1, 8)), history) == {}


def test_several_half_way_are_named_together():
    history = [asked(name, outcome=UNKNOWN) for name in "xyz"]
    state = ledger(24, 16, ("X", 1, 8), *rows("Y", 9, 11), *rows("Z", 12, 13))
    assert explained(state, history)["drift"] == (("y", "z"), "partial failure")
    (reason, *_) = (one.reason for one in check_event(state, history).violations)
    assert reason == "y had no answer, and left 3 of 8 tickets, and others are like it"


def test_more_half_way_than_are_looked_through():
    """A service that was killed under a crowd: all of them together, if they come out even."""
    crowd = [f"x{number}" for number in range(100)]
    history = [asked(name, outcome=REFUSED) for name in crowd]
    issues = [
        (name.upper(), 3 * n + k, 3 * n + k) for n, name in enumerate(crowd) for k in (1, 2, 3)
    ]
    found = explained(ledger(1000, 1000, *issues), history)
    assert found["drift"] == (tuple(crowd), "partial failure")


def test_half_of_a_purchase_and_all_of_it_counted():
    state = ledger(24, 16, *rows("X", 1, 3))
    assert explained(state, [asked("x", outcome=UNKNOWN)])["drift"] == (("x",), "partial failure")
    # Then the pool did not give out its numbers again.
    state = ledger(24, 8, *rows("X", 1, 3), ("A", 1, 8))
    history = [asked("x", outcome=UNKNOWN), asked("a", 1, 8, at=AFTERWARDS)]
    assert explained(state, history)["duplicate"] == (("x", "a"), None)


def test_stock_that_is_negative_because_the_pool_counted_what_nobody_holds():
    history = [asked("a", 1, 8), asked("x", outcome=UNKNOWN)]
    both = (("x",), "partial failure")
    found = explained(ledger(8, -8, ("A", 1, 8)), history)
    assert found == {"negative_stock": both, "drift": both}


def test_a_number_out_of_range_after_what_only_the_pool_counted():
    history = [asked("a", 1, 8), asked("x", outcome=UNKNOWN), asked("b", 17, 24, at=AFTERWARDS)]
    found = explained(ledger(16, -8, ("A", 1, 8), ("B", 17, 24)), history)
    assert found["out_of_range"] == (("b",), "partial failure")


def test_more_than_there_is_because_the_pool_did_not_count_some():
    state = ledger(8, 0, *rows("X", 1, 3), ("A", 4, 11))
    history = [asked("x", outcome=REFUSED), asked("a", 4, 11, at=AFTERWARDS)]
    assert explained(state, history)["oversold"] == (("a", "x"), "partial failure")
    history[0] = asked("x", outcome=FAILED)
    assert explained(state, history)["oversold"] == (("a", "x"), None)


def test_what_the_pool_did_not_count_is_sold_again():
    state = ledger(24, 16, *rows("X", 1, 3), ("A", 1, 8))
    history = [asked("x", outcome=REFUSED), asked("a", 1, 8, at=AFTERWARDS)]
    assert explained(state, history)["duplicate"] == (("x", "a"), "partial failure")
    # Under way at once they would have met all the same.
    history = [asked("x", outcome=REFUSED), asked("a", 1, 8, at=TOGETHER)]
    assert explained(state, history)["duplicate"] == (("x", "a"), None)
    # Never sent, it left nothing half-way: whose rows they are is not known.
    history = [asked("x", outcome=FAILED), asked("a", 1, 8, at=AFTERWARDS)]
    assert explained(state, history)["duplicate"] == (("x", "a"), None)
    state = ledger(24, 16, *rows("X", 3, 5), ("A", 1, 8))
    history = [asked("x", outcome=REFUSED), asked("a", 1, 8, at=AFTERWARDS)]
    assert explained(state, history)["duplicate"] == (("a", "x"), "partial failure")


def test_of_several_refusals_the_one_that_fits_is_named():
    history = [asked("x", outcome=REFUSED, quantity=16), asked("y", outcome=REFUSED, user="X")]
    found = explained(ledger(8, 0, ("X", 1, 8)), history)
    assert found == {"issued_but_refused": (("y",), "partial failure")}


def test_refused_after_all_was_done():
    found = explained(ledger(8, 0, ("X", 1, 8)), [asked("x", outcome=REFUSED)])
    assert found == {"issued_but_refused": (("x",), "partial failure")}
    another = asked("y", 1, 8, user="X")
    state = ledger(16, 0, ("X", 1, 8), ("X", 9, 16))
    found = explained(state, [asked("x", outcome=REFUSED), another])
    assert found == {"issued_but_refused": (("x",), None)}  # or was y sold twice?


def test_one_column_of_the_pool_alone_counted_it():
    state = ledger(24, 16, ("A", 1, 8), following=25)
    history = [asked("a", 1, 8), asked("x", quantity=16, outcome=UNKNOWN)]
    assert explained(state, history) == {"next_number_drift": (("x",), "partial failure")}
    assert explained(state, history[:1]) == {"next_number_drift": ((), None)}
    others = [
        asked("a", 1, 8),
        asked("x", outcome=UNKNOWN),
        asked("y", quantity=16, outcome=FAILED),
    ]
    assert explained(state, others) == {"next_number_drift": ((), None)}


# Repeated request

TWICE = ledger(24, 8, ("A", 1, 8), ("A", 9, 16))


@pytest.mark.parametrize(
    "history",
    [
        [asked("a", 1, 8)],
        [asked("a", outcome=UNKNOWN), asked("a", 9, 16, at=AFTERWARDS)],
        [asked("a", outcome=UNKNOWN), asked("a", outcome=UNKNOWN, at=AFTERWARDS)],
        [asked("a", outcome=REFUSED), asked("a", 1, 8, at=TOGETHER)],
        [asked("a", 1, 8), asked("a", 9, 16, at=AFTERWARDS)],
    ],
)
def test_one_purchase_that_was_sold_twice(history):
    assert explained(TWICE, history) == {"issued_beyond_asked": (("a",), "repeated request")}


def test_two_purchases_of_one_buyer_are_no_repetition():
    assert explained(TWICE, [asked("a", 1, 8), asked("b", 9, 16, user="A")]) == {}
    assert explained(TWICE, [asked("a", 1, 8), asked("b", outcome=UNKNOWN, user="A")]) == {}


def test_all_that_a_buyer_asked_for_shows_what_is_beyond_it():
    state = ledger(24, 0, ("A", 1, 8), ("A", 9, 16), ("A", 17, 24))
    history = [asked("a", 1, 8), asked("b", 9, 16, user="A")]
    assert explained(state, history) == {"issued_beyond_asked": (("a", "b"), None)}
    history.append(asked("b", 9, 16, user="A", at=AFTERWARDS))
    assert explained(state, history) == {"issued_beyond_asked": (("a", "b"), "repeated request")}
    (violation,) = check_event(state, history).violations
    assert violation.reason == "b was sent 2 times, and sold more than once"


def test_purchases_that_asked_for_nothing_do_not_show_what_is_too_much():
    history = [asked("a", 1, 8), asked("m", quantity=0, user="A")]
    assert explained(TWICE, history)["issued_beyond_asked"] == (("a",), "repeated request")
    nothing = [asked("m", quantity=0, user="A"), asked("n", quantity=0, user="A")]
    assert explained(TWICE, nothing)["issued_beyond_asked"] == (("m",), "bad quantity")


@pytest.mark.parametrize(
    "history",
    [
        [asked("a", outcome=UNKNOWN)],
        [asked("a", 1, 8), asked("a", 1, 8, at=AFTERWARDS)],
        [asked("a", 1, 8)],
    ],
)
def test_some_tickets_too_many_without_an_attempt_that_failed_have_no_cause(history):
    state = ledger(24, 13, *rows("A", 1, 11))
    assert explained(state, history)["issued_beyond_asked"] == (("a",), None)


def test_some_tickets_too_many_of_several_purchases_have_no_cause():
    history = [asked("a", outcome=UNKNOWN), asked("a", 1, 8, at=AFTERWARDS)]
    history.append(asked("b", 9, 16, user="A"))
    state = ledger(24, 5, *rows("A", 1, 19))
    assert explained(state, history)["issued_beyond_asked"] == (("a", "b"), None)


def test_the_same_rows_twice_are_shown_by_one_purchase():
    state = ledger(24, 8, *rows("A", 1, 8), *rows("A", 1, 8))
    assert explained(state, [asked("a", 1, 8)])["duplicate"] == (("a",), "repeated request")
    some = ledger(24, 13, *rows("A", 1, 8), *rows("A", 1, 3))
    assert explained(some, [asked("a", 1, 8)])["duplicate"] == (("a",), None)
    some = ledger(24, 5, *rows("A", 1, 8), *rows("A", 1, 8), *rows("A", 1, 3))
    assert explained(some, [asked("a", 1, 8)])["duplicate"] == (("a",), None)
    once = ledger(24, 16, *rows("A", 1, 7), *rows("A", 7, 7))
    assert explained(once, [asked("a", 1, 7)])["duplicate"] == (("a",), None)
    more = ledger(8, 0, *rows("A", 1, 8), *rows("A", 1, 8))
    assert {cause for _, cause in explained(more, [asked("a", 1, 8)]).values()} == {
        "repeated request"
    }


def test_numbers_of_a_second_sale_that_another_was_told_of_are_no_race():
    state = ledger(24, 8, ("A", 1, 8), ("A", 9, 16), ("B", 9, 16))
    history = [asked("a", 1, 8), asked("b", 9, 16, at=TOGETHER)]
    assert explained(state, history)["duplicate"] == (("a", "b"), "repeated request")


def test_one_answer_that_names_too_many_was_not_repeated():
    found = explained(ledger(16, 0, ("A", 1, 16)), [asked("a", 1, 16)])
    assert found == {"issued_beyond_asked": (("a",), None)}


def test_what_a_first_attempt_left_is_no_second_sale():
    state = ledger(24, 16, *rows("A", 1, 3), *rows("A", 4, 11))
    history = [asked("a", outcome=UNKNOWN), asked("a", 4, 11, at=AFTERWARDS)]
    assert explained(state, history)["issued_beyond_asked"] == (("a",), "partial failure")


def test_a_request_that_only_the_pool_counted_twice():
    history = [asked("a", outcome=UNKNOWN), asked("a", 1, 8, at=AFTERWARDS)]
    state = ledger(24, 8, ("A", 1, 8))
    assert explained(state, history) == {"drift": (("a",), "repeated request")}
    assert explained(state, history[1:]) == {"drift": ((), None)}
    # A purchase without an answer may be what it counted as well.
    uncertain = [*history, asked("x", outcome=UNKNOWN)]
    assert explained(state, uncertain)["drift"][1] is None


# The smallest set

small = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 6)), min_size=1, max_size=6)


def _shows(kind, parts, total):
    numbers = [number for first, size in parts for number in range(first, first + size)]
    return len(numbers) > (len(set(numbers)) if kind == "duplicate" else total)


@given(small, st.integers(0, 20), st.booleans())
def test_no_smaller_set_shows_it(some, total, known):
    """Against every subset: as small as any that shows it, and none of it can be left out."""
    held = {f"u{place}": span for place, span in enumerate(some)}
    state = ledger(total, 0, *((user, a, a + size - 1) for user, (a, size) in held.items()))
    history = [
        asked(user, a, a + size - 1, quantity=size, user=user) for user, (a, size) in held.items()
    ]
    found = explained(state, history if known else ())
    for kind in ("duplicate", "oversold"):
        assert (kind in found) == _shows(kind, some, total)
        if kind in found:
            names = [name.partition(" ")[0] for name in found[kind][0]]
            chosen = [held[name] for name in names]
            assert _shows(kind, chosen, total)
            assert len(set(names)) == len(names)
            for rest in itertools.combinations(chosen, len(chosen) - 1):
                assert not _shows(kind, rest, total)
            for size in range(len(chosen)):
                assert not any(
                    _shows(kind, part, total) for part in itertools.combinations(some, size)
                )


@given(small.map(lambda some: sorted((a, a + size - 1) for a, size in some)))
def test_whoever_repeats_a_number_is_in_some_pair(some):
    pairs = overlapping_pairs((span, place) for place, span in enumerate(some))
    assert all(some[two][0] <= some[one][1] for one, two in pairs)
    for place, (first, _) in enumerate(some):
        repeats = any(last >= first for _, last in some[:place])
        assert repeats == (place in {two for _, two in pairs})


def test_a_set_too_large_to_be_read_is_not_named():
    issues = [(f"u{n}", 8 * n + 1, 8 * n + 8) for n in range(1_100)]
    (violation, *_) = check_event(ledger(8_792, 0, *issues)).violations
    assert (violation.kind, violation.purchases) == ("oversold", ())
    assert violation.reason


def test_purchases_of_one_name_are_told_apart():
    history = [asked("p", 1, 8, user="A"), asked("p", 1, 8, user="B", at=TOGETHER)]
    assert explained(SAME, history) == {"duplicate": (("p of A", "p of B"), "race")}


def test_rows_of_a_buyer_of_several_purchases_are_told_apart():
    told = [asked("a", 1, 8), asked("b", 9, 16, user="A"), asked("c", 17, 24, at=TOGETHER)]
    state = ledger(40, 8, ("A", 1, 8), *rows("A", 9, 16), *rows("A", 17, 24), ("C", 17, 24))
    assert explained(state, told)["duplicate"] == (("A 17-24", "c"), None)
    # What was not told is of the one that was told nothing.
    state = ledger(40, 24, ("A", 1, 8), *rows("A", 9, 16), *rows("A", 17, 19))
    silent = asked("x", outcome=REFUSED, user="A")
    assert explained(state, [*told[:2], silent])["drift"] == (("x",), "partial failure")
    state = ledger(40, 40, ("A", 1, 8), ("A", 17, 8))
    minting = asked("m", quantity=-8, user="A")
    for more in ([], [silent]):
        found = explained(state, [told[0], minting, *more])
        assert found["backward"] == (("m",), "bad quantity")


def test_rows_that_nobody_asked_for_are_named_as_they_lie():
    state = ledger(9, 0, *rows("A", 1, 3), ("A", 4, 9), *rows("A", 5, 5))
    assert explained(state)["duplicate"] == (("A 4-9", "A 5"), None)


def test_a_list_of_purchases_fits_a_line():
    assert listed(("a", "b")) == "a, b"
    assert listed([str(number) for number in range(9)]) == "0, 1, 2, 3, 4, 5 and 3 more"
