"""Find why a ledger or a history does not allow a verdict."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt

# As `workload.burst` names purchases and buyers: a run and a number, counted from 1.
_PURCHASE = re.compile(r"([0-9a-f]{8})-([1-9][0-9]*)")
_BUYER = re.compile(r"buyer-([0-9a-f]{8})-[1-9][0-9]*")


def unjudgeable(ledger: EventLedger) -> str:
    """Return why the pool's numbers cannot be compared; empty when they can."""
    pool = (ledger.total, ledger.available)
    if (ledger.total is None) != (ledger.available is None):
        return f"the pool has total {pool[0]!r} and available {pool[1]!r}"
    if not all(type(number) is int for number in (*pool, ledger.next_ticket_number) if number):
        return (
            f"the pool has values that are not numbers: {pool}, next {ledger.next_ticket_number!r}"
        )
    return ""


def contradiction(history: Iterable[Attempt]) -> str:
    """Return what in *history* is impossible; empty when nothing is."""
    for one in history:
        if one.outcome != "ok" and one.tickets:
            return (
                f"the history has purchase {one.purchase} {one.outcome} and answered with tickets"
            )
        if one.outcome == "ok" and not one.sent_s <= one.answered_s:
            return f"the history has purchase {one.purchase} sold before it was sent"
    return ""


def incomplete(history: Sequence[Attempt], holders: Iterable[str]) -> str:
    """Return which purchases of a run *history* lacks; empty when none is known to be missing.

    A history that was cut short, or is still being written, has gaps in its numbers, or lacks a
    buyer of the run who is among the *holders* of tickets.
    """
    runs: defaultdict[str, set[int]] = defaultdict(set)
    for one in history:
        if named := _PURCHASE.fullmatch(one.purchase):
            runs[named[1]].add(int(named[2]))
    for run, numbers in runs.items():
        if lacking := max(numbers) - len(numbers):
            return f"the history lacks {lacking} of the first {max(numbers)} purchases of run {run}"
    if runs:
        known = {one.user for one in history}
        for user in holders:
            if user not in known and (named := _BUYER.fullmatch(user)) and named[1] in runs:
                return f"the history lacks what {user} bought, who holds tickets"
    return ""
