"""Ranges of ticket numbers: count, overlap, gaps."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

Span = tuple[int, int]
"""Ticket numbers first to last, both included."""

# How many earlier spans each span is compared with: thousands may hold one number, and all pairs
# of them would be too many.
_COMPARED = 4


class Tally(NamedTuple):
    """Numbers counted, copies of numbers issued before, and numbers left out from 1 on."""

    issued: int
    copies: list[Span]
    missing: list[Span]


def count(spans: Iterable[Span]) -> int:
    """Count the numbers in *spans*, copies included."""
    return sum(last - first + 1 for first, last in spans)


def tally_numbers(spans: Sequence[Span]) -> Tally:
    """Count the numbers in spans that are in ascending order, each with first <= last."""
    copies: list[Span] = []
    missing: list[Span] = []
    reached = min(0, spans[0][0] - 1) if spans else 0
    for first, last in spans:
        expected = max(1, reached + 1)
        if first <= reached:
            copies.append((first, min(last, reached)))
        elif first > expected:
            missing.append((expected, first - 1))
        reached = max(reached, last)
    return Tally(count(spans), copies, missing)


def overlapping_pairs(owned: Iterable[tuple[Span, int]]) -> list[tuple[int, int]]:
    """Return pairs of owners of the same number, each once; an owner of it twice with itself.

    *owned* are spans in ascending order with their owners. Every span that repeats a number of
    an earlier one is in some pair, but not every pair is given.
    """
    pairs: dict[tuple[int, int], None] = {}
    active: list[tuple[Span, int]] = []
    for span, owner in owned:
        active = [one for one in active if one[0][1] >= span[0]]
        for _, other in active:
            pairs[other, owner] = None
        # Besides the latest ones, the one that goes on longest, so that no overlap is missed.
        longest = max(active, key=lambda one: one[0][1], default=None)
        active = [*active[1 - _COMPARED :], (span, owner)]
        if longest is not None and longest not in active:
            active.insert(0, longest)
    return list(pairs)
