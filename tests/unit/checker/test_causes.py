"""Which purchases show a violation, and what caused it: a table of situations, and its limits.

`SITUATIONS` is in the language of `tests.support.situations`. It expects violations, each with the
purchases that show it and, in brackets, its cause.
"""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.situations import read_situation, situations
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.checker.spans import overlapping_pairs
from ticketsvc.lab.checker.verdicts import listed
from ticketsvc.lab.ledger.records import EventLedger, Issue

SITUATIONS = """
overlapping purchases with the same numbers raced
  24/8: A 1-8, B 1-8 | a 1-8, b 1-8 @0.5-1.5 | duplicate: a, b (race)
a purchase that was answered before the other was sent did not race
  24/8: A 1-8, B 1-8 | a 1-8, b 1-8 @2-3 | duplicate: a, b
  24/8: A 1-8, B 1-8 | a 1-8, b 1-8 @1-2 | duplicate: a, b
a race takes two purchases that were acknowledged
  24/8: A 1-8, B 1-8 | a 1-8, b unknown @0.5-1.5 | duplicate: a, b
  24/8: A 1-8, B 1-8 | a 1-8, b refused @0.5-1.5 | duplicate: a, b; issued_but_refused: b (partial
      failure)
  24/8: A 1-8, B 1-8 | a 1-8, b failed @0.5-1.5 | duplicate: a, b; issued_but_refused: b
without a history, buyers and numbers are named, and no cause
  24/8: A 1-8, B 1-8 | | duplicate: A 1-8, B 1-8
  24/8: A 1..8, B 1..8 | | duplicate: A 1-8, B 1-8
  24/8: A 1..8, A 1..8 | | duplicate: A 1-8, A 1-8 (2)
a buyer that the history does not know does not make a race
  24/8: A 1-8, B 1-8 | a 1-8 | duplicate: a, B 1-8
of many pairs, one with a cause is named
  40/8: A 1-8, B 1-8, C 9-16, D 9-16 | a 1-8, b 1-8 @2-3, c 9-16 @4-5, d 9-16 @4-5 | duplicate: c,
      d (race)
numbers left out because others were issued twice
  24/0: A 1-8, B 1-8, C 17-24 | a 1-8, b 1-8 @0.5-1.5, c 17-24 @5-6 | duplicate: a, b (race); gap:
      c (race)
  24/0: A 1-8, B 1-8, C 17-24 | | duplicate: A 1-8, B 1-8; gap: C 17-24
two took the last of the stock, without a number in common
  16/-8: A 1-8, B 9-16, C 17-24 | a 1-8, b 9-16 @2-4, c 17-24 @3-5 | oversold: c, a, b (race);
      negative_stock: c, a, b (race); out_of_range: c (race)
  16/-8: A 1-8, B 9-16, C 17-24 | a 1-8, b 9-16, c 17-24 @3-5 | oversold: c, a, b; negative_stock:
      c, a, b; out_of_range: c
an update that was lost with the tickets issued twice
  8/0: A 1-8, B 1-8 | a 1-8, b 1-8 @0.5-1.5 | oversold: a, b (race); duplicate: a, b (race);
      drift: a, b (race)
a confirmed number that another buyer got at the same time
  8/0: B 1-8 | a 1-8, b 1-8 @0.5-1.5 | acknowledged_missing: a (race)
  8/0: B 1-8 | a 1-8, b 1-8 @2-3 | acknowledged_missing: a
a confirmed number that nobody has
  16/8: A 1-8 | a 1-8, b 9-16 @0.5-1.5 | acknowledged_missing: b
immediately one after the other is no race, whichever has the lower numbers
  24/8: A 1-8, B 5-12 | a 1-8, b 5-12 @1-2 | duplicate: a, b
  24/8: A 1-8, B 5-12 | a 1-8, b 5-12 @0.5-1.5 | duplicate: a, b (race)
  24/8: A 5-12, B 1-8 | a 5-12, b 1-8 @1-2 | duplicate: b, a
  24/8: A 5-12, B 1-8 | a 5-12, b 1-8 @0.5-1.5 | duplicate: b, a (race)
an answer without numbers may have meant any
  24/8: A 1-8, B 1-8 | a, b @0.5-1.5 | duplicate: a, b (race)
  24/8: A 1-8, B 1-8 | a, b 1-8 @0.5-1.5 | duplicate: a, b (race)
  24/8: A 1-8, B 1-8 | a 1-8, b @0.5-1.5 | duplicate: a, b (race)
the last of the stock without an answer is no race
  8/-8: A 1-8, B 9-16 | a 1-8, b unknown @0.5-1.5 | oversold: b, a; negative_stock: b, a;
      out_of_range: b
  8/-8: A 1-8, B 9-16 | a 1-8, b 9-16 @0.5-1.5 | oversold: b, a (race); negative_stock: b, a
      (race); out_of_range: b (race)
of an oversold stock, as few purchases as show it are named
  8/-16: A 1-8, B 1-8, C 9-16 | | oversold: A 1-8, B 1-8; negative_stock: A 1-8, B 1-8; duplicate:
      A 1-8, B 1-8; out_of_range: C 9-16
  16/-24: U0 1-8, U1 9-16, U2 17-24, U3 25-32, U4 33-40 | | oversold: U2 17-24, U3 25-32, U4
      33-40; negative_stock: U2 17-24, U3 25-32, U4 33-40; out_of_range: U2 17-24
  16/-8: A -7-0, B 1-16 | | oversold: B 1-16, A -7-0; negative_stock: B 1-16, A -7-0;
      out_of_range: A -7-0
  8/-16: A -7-0, B 1-8, C 9-16 | | oversold: A -7-0, C 9-16; negative_stock: A -7-0, C 9-16;
      out_of_range: A -7-0
a drift of another size than the duplicates is not from the race
  24/11: A 1-8, B 1-8 | a 1-8, b 1-8 @0.5-1.5 | duplicate: a, b (race); drift: a, b
a gap that the duplicates do not account for
  32/8: A 1-8, B 1-8, C 25-32 | a 1-8, b 1-8 @0.5-1.5 | duplicate: a, b (race); gap: C 25-32
  24/8: A 1-8, B 1-8, C 17-24 | a 1-8, b 1-8 @0.5-1.5 | duplicate: a, b (race); drift: a, b
      (race); gap: C 17-24
one number told to two purchases of a buyer who holds it once
  16/0: A 1-8, A 9-16 | a 1-8, b by A 8-15 @0.5-1.5 | acknowledged_missing: a, b (race)
  16/0: A 1-8, A 9-16 | a 1-8, b by A 8-15 @0.5-1.5, d by A 8-8 of 1 | acknowledged_missing: a, d
      (bad quantity)
  16/0: A 1-8, A 9-16 | a 1-8, b by A 8-15 @0.5-1.5, c by A 99-99 of 1 | acknowledged_missing: c
      (bad quantity)
a backward range is evidence by itself
  16/16: A 1-8, M 9-0 | | backward: M 9-0 (bad quantity); drift: M 9-0 (bad quantity)
  16/16: A 1-8, M 9-0 | m of -8 | backward: m (bad quantity); drift: m (bad quantity)
stock that a negative quantity added is sold again: 8, -8, 8 and 8 of 16, and the pool looks well
  16/0 next 17: A 1-8, B 1-8, C 9-16 | a 1-8, m of -8 @2-3, b 1-8 @4-5, c 9-16 @6-7 | oversold: a,
      b, c (bad quantity); duplicate: a, b (bad quantity); drift: m (bad quantity)
  16/0 next 17: A 1-8, M 9-0, B 1-8, C 9-16 | a 1-8, m of -8 @2-3, b 1-8 @4-5, c 9-16 @6-7 |
      oversold: a, b, c (bad quantity); backward: m (bad quantity); duplicate: a, b (bad
      quantity); drift: m (bad quantity)
a bad quantity that was refused, or came too late, explains nothing
  24/8: A 1-8, B 1-8 | a 1-8, b 1-8 @2-3, m of -8 refused @1-2 | duplicate: a, b
  24/8: A 1-8, B 1-8 | a 1-8, b 1-8 @2-3, m of -8 @4-5 | duplicate: a, b
where a race and stock that a negative quantity added would both explain it, neither is proved
  24/16: A 1-8, B 1-8 | a 1-8, b 1-8 @0.5-1.5, m of -8 | duplicate: a, b; drift: m (bad quantity)
more or fewer rows than a bad quantity
  24/12: A 1-8 | a 1-12 of 12 | drift: a (bad quantity); acknowledged_missing: a (bad quantity)
  24/12: A 1-16 | a 1-12 of 12 | drift: a (bad quantity); issued_beyond_asked: a (bad quantity)
a bad quantity that gave nothing back explains no duplicates
  24/-4: A 1-8, B 1-8, M 9-16 | a 1-8, b 1-8 @2-3, m 9-16 of 12 | negative_stock: m (bad
      quantity); duplicate: a, b; drift: m (bad quantity)
stock that a negative quantity added that was sold with numbers of its own
  16/0: A 1-8, B 9-16, M 17-8, C 17-24 | a 1-8, m of -8 @2-3, b 9-16 @4-5, c 17-24 @6-7 |
      oversold: c, a, b (bad quantity); backward: m (bad quantity); drift: m (bad quantity);
      out_of_range: c (bad quantity)
  16/0: A 1-8, B 9-16, M 17-9, C 17-24 | a 1-8, m of -8 @2-3, b 9-16 @4-5, c 17-24 @6-7 |
      oversold: c, a, b; backward: m (bad quantity); drift: c, a, b; out_of_range: c
stock that a negative quantity added takes numbers below one
  16/16: A -7-0 | m of -8, a -7-0 @2-3 | drift: m (bad quantity); out_of_range: a (bad quantity)
  16/16: A -7-0 | a -7-0 @2-3 | drift: a; out_of_range: a
a bad quantity that was sold as asked is no violation
  24/12: A 1-12 | a 1-12 of 12 |
rows that the pool did not count
  24/16: A 1-8, X 9..11 | a 1-8, x unknown | drift: x (partial failure); issued_in_part: x
      (partial failure)
  24/16: A 1-8, X 9..11 | a 1-8, x refused | drift: x (partial failure); issued_but_refused: x
      (partial failure)
rows of a purchase that was never sent have no cause
  8/8: X 1..3 | x failed | drift: x; issued_but_refused: x
a pool that counted what nobody holds
  32/0: A 1-8, B 25-32 | a 1-8, x of 16 unknown, b 25-32 | drift: x (partial failure); gap: b
      (partial failure)
  32/0: A 1-8, B 25-32 | a 1-8, b 25-32 | drift: nobody; gap: b
  32/0: A 1-8, B 25-32 | a 1-8, x of 16 refused, b 25-32 | drift: x (partial failure); gap: b
      (partial failure)
all rows are there and the pool did not count them
  8/8: X 1..8 | x unknown | drift: x (partial failure)
an acknowledged purchase that is not all there comes before one without an answer
  24/8: A 1-8 | x unknown, a 1-8, b 9-16 | drift: b; acknowledged_missing: b
  24/16: A 1..3 | x unknown, a | drift: a
an answer without numbers, of which the pool counted all or nothing
  24/8: B 1-8 | a, b 1-8 | drift: a
  24/8: B 1-8 | a, b 1-8 of 16 | drift: b
no answer comes before a refusal
  8/0:  | x refused, y unknown | drift: y (partial failure)
no more are named than it takes
  40/24: X 1-8, Y 9-16, B 17-24 | x refused, y refused, b 17-32 of 16 | drift: x (partial
      failure); acknowledged_missing: b; issued_but_refused: x (partial failure)
that more purchases would explain it as well does not make it uncertain
  40/32: X 1-8, B 9-16 | x refused, m of -16, b 17-32 of 16 | drift: x (partial failure);
      acknowledged_missing: b; issued_but_refused: x (partial failure)
a purchase that was never sent the pool did not count
  8/0:  | x failed | drift: nobody
two attempts without an answer left rows once
  8/8: X 1..8 | x unknown, x unknown @2-3 | drift: x (partial failure)
more rows than one failure leaves are not one
  16/16: X 1..16 | x unknown | drift: x; issued_beyond_asked: x (repeated request)
a bad quantity may have been given back without an answer
  8/8: A 1-8 | a 1-8, m of -8 unknown @2-3 | drift: m (bad quantity)
  8/0: A 1-8 | a 1-8, m of -8 unknown @2-3 |
  8/8: A 1-8 | a 1-8, m of -8 refused @2-3 | drift: m (bad quantity)
  8/0: A 1-8 | a 1-8, m of -8 refused @2-3 |
several purchases that failed half-way are named together
  24/16: X 1-8, Y 9..11, Z 12..13 | x unknown, y unknown, z unknown | drift: y, z (partial
      failure); issued_in_part: y (partial failure)
half of a purchase is issued, and all of it counted: its numbers are not sold again
  24/16: X 1..3 | x unknown | drift: x (partial failure); issued_in_part: x (partial failure)
  24/8: X 1..3, A 1-8 | x unknown, a 1-8 @2-3 | duplicate: x, a; drift: x (partial failure);
      issued_in_part: x (partial failure)
stock that is negative because the pool counted what nobody holds
  8/-8: A 1-8 | a 1-8, x unknown | negative_stock: x (partial failure); drift: x (partial failure)
a number out of range after what only the pool counted
  16/-8: A 1-8, B 17-24 | a 1-8, x unknown, b 17-24 @2-3 | negative_stock: x (partial failure);
      drift: x (partial failure); gap: b (partial failure); out_of_range: b (partial failure)
oversold because the pool did not count some
  8/0: X 1..3, A 4-11 | x refused, a 4-11 @2-3 | oversold: a, x (partial failure); drift: x
      (partial failure); out_of_range: a (partial failure); issued_but_refused: x (partial
      failure)
  8/0: X 1..3, A 4-11 | x failed, a 4-11 @2-3 | oversold: a, x; drift: x; out_of_range: a;
      issued_but_refused: x
what the pool did not count is sold again, unless it was in flight at the same time or never sent
  24/16: X 1..3, A 1-8 | x refused, a 1-8 @2-3 | duplicate: x, a (partial failure); drift: x
      (partial failure); issued_but_refused: x (partial failure)
  24/16: X 1..3, A 1-8 | x refused, a 1-8 @0.5-1.5 | duplicate: x, a; drift: x (partial failure);
      issued_but_refused: x (partial failure)
  24/16: X 1..3, A 1-8 | x failed, a 1-8 @2-3 | duplicate: x, a; drift: x; issued_but_refused: x
  24/16: X 3..5, A 1-8 | x refused, a 1-8 @2-3 | duplicate: a, x (partial failure); drift: x
      (partial failure); issued_but_refused: x (partial failure)
of several refusals the one that fits is named
  8/0: X 1-8 | x of 16 refused, y by X refused | issued_but_refused: y (partial failure)
refused after all was done, unless another purchase was sold twice
  8/0: X 1-8 | x refused | issued_but_refused: x (partial failure)
  16/0: X 1-8, X 9-16 | x refused, y by X 1-8 | issued_but_refused: x
one column of the pool alone counted it
  24/16 next 25: A 1-8 | a 1-8, x of 16 unknown | next_number_drift: x (partial failure)
  24/16 next 25: A 1-8 | a 1-8 | next_number_drift: nobody
  24/16 next 25: A 1-8 | a 1-8, x unknown, y of 16 failed | next_number_drift: nobody
one purchase that was sold twice
  24/8: A 1-8, A 9-16 | a 1-8 | issued_beyond_asked: a (repeated request)
  24/8: A 1-8, A 9-16 | a unknown, a 9-16 @2-3 | issued_beyond_asked: a (repeated request)
  24/8: A 1-8, A 9-16 | a unknown, a unknown @2-3 | issued_beyond_asked: a (repeated request)
  24/8: A 1-8, A 9-16 | a refused, a 1-8 @0.5-1.5 | issued_beyond_asked: a (repeated request)
  24/8: A 1-8, A 9-16 | a 1-8, a 9-16 @2-3 | issued_beyond_asked: a (repeated request)
two purchases of one buyer are no repetition
  24/8: A 1-8, A 9-16 | a 1-8, b by A 9-16 |
  24/8: A 1-8, A 9-16 | a 1-8, b by A unknown |
tickets beyond all that a buyer asked for
  24/0: A 1-8, A 9-16, A 17-24 | a 1-8, b by A 9-16 | issued_beyond_asked: a, b
  24/0: A 1-8, A 9-16, A 17-24 | a 1-8, b by A 9-16, b by A 9-16 @2-3 | issued_beyond_asked: a, b
      (repeated request)
purchases that asked for nothing do not show what is too much
  24/8: A 1-8, A 9-16 | a 1-8, m by A of 0 | issued_beyond_asked: a (repeated request)
  24/8: A 1-8, A 9-16 | m by A of 0, n by A of 0 | issued_beyond_asked: m (bad quantity)
some tickets too many without an attempt that failed have no cause
  24/13: A 1..11 | a unknown | issued_beyond_asked: a
  24/13: A 1..11 | a 1-8, a 1-8 @2-3 | issued_beyond_asked: a
  24/13: A 1..11 | a 1-8 | issued_beyond_asked: a
some tickets too many of several purchases have no cause
  24/5: A 1..19 | a unknown, a 1-8 @2-3, b by A 9-16 | issued_beyond_asked: a, b
the same rows twice are shown by one purchase
  24/8: A 1..8, A 1..8 | a 1-8 | duplicate: a (repeated request); issued_beyond_asked: a (repeated
      request)
  24/13: A 1..8, A 1..3 | a 1-8 | duplicate: a; issued_beyond_asked: a
  24/5: A 1..8, A 1..8, A 1..3 | a 1-8 | duplicate: a; issued_beyond_asked: a
  24/16: A 1..7, A 7-7 | a 1-7 | duplicate: a
  8/0: A 1..8, A 1..8 | a 1-8 | oversold: a (repeated request); duplicate: a (repeated request);
      drift: a (repeated request); issued_beyond_asked: a (repeated request)
a second sale that has another buyer's numbers is no race
  24/8: A 1-8, A 9-16, B 9-16 | a 1-8, b 9-16 @0.5-1.5 | duplicate: a, b (repeated request);
      drift: a (repeated request); issued_beyond_asked: a (repeated request)
one answer that names too many was not repeated
  16/0: A 1-16 | a 1-16 | issued_beyond_asked: a
what a first attempt left is no second sale
  24/16: A 1..11 | a unknown, a 4-11 @2-3 | drift: a; issued_beyond_asked: a (partial failure)
a request that only the pool counted twice
  24/8: A 1-8 | a unknown, a 1-8 @2-3 | drift: a (repeated request)
  24/8: A 1-8 | a 1-8 @2-3 | drift: nobody
  24/8: A 1-8 | a unknown, a 1-8 @2-3, x unknown | drift: x
purchases of one name are told apart
  24/8: A 1-8, B 1-8 | p by A 1-8, p by B 1-8 @0.5-1.5 | duplicate: p of A, p of B (race)
rows of a buyer with several purchases are told apart
  40/8: A 1-8, A 9..24, C 17-24 | a 1-8, b by A 9-16, c 17-24 @0.5-1.5 | duplicate: A 17-24, c;
      issued_beyond_asked: a, b
  40/24: A 1-8, A 9..19 | a 1-8, b by A 9-16, x by A refused | drift: x (partial failure);
      issued_but_refused: x
  40/40: A 1-8, A 17-8 | a 1-8, m by A of -8 | backward: m (bad quantity); drift: m (bad quantity)
  40/40: A 1-8, A 17-8 | a 1-8, m by A of -8, x by A refused | backward: m (bad quantity); drift:
      m (bad quantity)
rows that nobody asked for are named as they lie
  9/0: A 1..3, A 4-9, A 5-5 | | oversold: A 4-9, A 1-3, A 5; duplicate: A 4-9, A 5; drift: A 4-9,
      A 1-3, A 5
"""


def shown(violations):
    """Return the violations as `SITUATIONS` writes them."""
    return "; ".join(
        f"{one.kind}: {', '.join(one.purchases) or 'nobody'}"
        + (f" ({one.cause})" if one.cause else "")
        for one in violations
    )


@pytest.mark.parametrize(("title", "line"), situations(SITUATIONS))
def test_situation(title, line):
    state, history, expected = read_situation(line)
    violations = check_event(state, history).violations
    assert shown(violations) == expected, title
    assert all(one.reason for one in violations if one.cause)


def test_more_failed_half_way_than_are_searched():
    """A service was killed with many purchases in flight: all of them, if they come out even."""
    held = ", ".join(f"X{n} {3 * n}..{3 * n + 2}" for n in range(100))
    state, history, _ = read_situation(
        f"1000/1000: {held} | {', '.join(f'x{n} refused' for n in range(100))} |"
    )
    drift = next(one for one in check_event(state, history).violations if one.kind == "drift")
    assert (len(drift.purchases), drift.cause) == (100, "partial failure")


# The smallest set

small = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 6)), min_size=1, max_size=6)


def _shows(kind, parts, total):
    numbers = [number for first, size in parts for number in range(first, first + size)]
    return len(numbers) > (len(set(numbers)) if kind == "duplicate" else total)


@given(small, st.integers(0, 20), st.booleans())
def test_no_smaller_set_shows_it(some, total, known):
    """Against every subset: as small as any that shows it, and none of it can be left out."""
    held = {f"u{place}": span for place, span in enumerate(some)}
    issues = ", ".join(f"{name.upper()} {a}-{a + size - 1}" for name, (a, size) in held.items())
    asked = ", ".join(f"{name} {a}-{a + size - 1} of {size}" for name, (a, size) in held.items())
    state, history, _ = read_situation(f"{total}/0: {issues} | {asked if known else ''} |")
    found = {one.kind: one.purchases for one in check_event(state, history).violations}
    for kind in ("duplicate", "oversold"):
        assert (kind in found) == _shows(kind, some, total)
        if kind in found:
            names = [name.partition(" ")[0].lower() for name in found[kind]]
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
def test_each_owner_of_a_repeated_number_is_in_some_pair(some):
    pairs = overlapping_pairs((span, place) for place, span in enumerate(some))
    assert all(some[two][0] <= some[one][1] for one, two in pairs)
    for place, (first, _) in enumerate(some):
        repeats = any(last >= first for _, last in some[:place])
        assert repeats == (place in {two for _, two in pairs})


def test_a_set_too_large_to_be_read_is_not_named():
    issues = [Issue(f"u{n}", 8 * n + 1, 8 * n + 8) for n in range(1_100)]
    (violation, *_) = check_event(EventLedger("E", 8_792, 0, None, issues)).violations
    assert (violation.kind, violation.purchases) == ("oversold", ())
    assert violation.reason


def test_a_list_of_purchases_fits_a_line():
    assert listed(("a", "b")) == "a, b"
    assert listed([str(number) for number in range(9)]) == "0, 1, 2, 3, 4, 5 and 3 more"
