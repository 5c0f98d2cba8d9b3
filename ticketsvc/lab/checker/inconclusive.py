"""When a ledger or a history is no ground for a verdict: say why."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt

# As `workload.fire` names purchases and buyers: a run and a number, counted from 1.
_PURCHASE = re.compile(r"([0-9a-f]{8})-([1-9][0-9]*)")
_BUYER = re.compile(r"buyer-([0-9a-f]{8})-[1-9][0-9]*")


def unjudgeable(ledger: EventLedger) -> str:
    """Say why no sum can be made of the pool; nothing when it can."""
    pool = (ledger.total, ledger.available)
    if (ledger.total is None) != (ledger.available is None):
        return f"the pool has total {pool[0]!r} and available {pool[1]!r}"
    if not all(type(number) is int for number in (*pool, ledger.next_ticket_number) if number):
        return f"the pool has numbers that are none: {pool}, next {ledger.next_ticket_number!r}"
    return ""


def contradiction(history: Iterable[Attempt]) -> str:
    """Say what in *history* cannot have been; nothing when all can."""
    for one in history:
        if one.outcome != "ok" and one.tickets:
            return f"the history has purchase {one.purchase} {one.outcome} and told of tickets"
        if one.outcome == "ok" and not one.sent_s <= one.answered_s:
            return f"the history has purchase {one.purchase} sold before it was sent"
    return ""


def incomplete(history: Sequence[Attempt], holders: Iterable[str]) -> str:
    """Say which purchases of a run *history* lacks; nothing when none can be told to be lacking.

    A history that was cut short, or is still being written, has holes in its numbers, or none
    of a buyer of the run who is among the *holders* of tickets.
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
