"""What notebook 04 claims can fail."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.support.claims import assert_can_fail, by_hand, changed
from ticketsvc.lab.checker.verdicts import EventVerdict, Violation
from ticketsvc.lab.experiments.repair import Repair
from ticketsvc.lab.story import the_fix
from ticketsvc.lab.workload.history import Attempt, Outcome

WAITS = by_hand([1], 0, ("waits for A", "goes on: no row"))
BEFORE = pd.DataFrame({"oversold": [True, True], "duplicates": [232, 232]})
AFTER = pd.DataFrame(
    {
        "total": 20,
        "purchases": 30,
        "quantity": 8,
        "successes": 2,
        "refused": 28,
        "available": 4,
        "clean": True,
    },
    index=range(2),
)
CAUGHT = pd.DataFrame({"duplicates": [0], "oversold": [False], "issued": [8], "total": [8]})
ANSWERS = pd.DataFrame({"message": ["refused by issued_tickets_pkey"]})
TRIED = pd.DataFrame(
    {
        "write": ["range inside", "the next range"],
        "allowed": [False, True],
        "refused": [True, False],
        "constraint": ["pkey", ""],
    }
)


def attempt(user: str, outcome: Outcome = "ok") -> Attempt:
    return Attempt(user, "", user, "E", 1, 0.0, 1.0, outcome, tickets=(1,))


VIOLATED = EventVerdict("E", violations=(Violation("duplicate", 1, "twice"),))
FIXES = pd.DataFrame(
    {"schedules": [8], "clean": [8], "a buyer waits": [6], "a buyer tries again": [0]}
)
GUARDS = pd.DataFrame({"valid": ["t"]})
SOLD = [attempt("ann"), attempt("bob")]
REPAIRED = Repair(
    before=VIOLATED,
    after=EventVerdict("E", issued=2),
    found=GUARDS,
    plan=GUARDS,
    applied=GUARDS,
    guards=GUARDS,
    planned=frozenset({"ann", "bob"}),
    history=SOLD,
    during=SOLD,
)

COSTS = pd.DataFrame({"refused": [9, 0], "clean": [False, True]}, index=["naive", "group_commit"])

CASES = [
    (
        the_fix.no_fix_costs_a_sale,
        {"costs": COSTS},
        {
            "with tickets for all, no fix refuses a buyer": {"costs": COSTS.assign(refused=1)},
            "and the ledger of each is clean": {"costs": COSTS.assign(clean=False)},
        },
    ),
    (
        the_fix.one_ticket_is_sold_once,
        {"by_hand": WAITS},
        {
            "by hand: the second UPDATE waits for the first, and then changes no row": {
                "by_hand": by_hand([1], 0, ("1 row", "1 row"))
            },
            "by hand: one ticket, and none left": {"by_hand": by_hand([1, 1], -1)},
        },
    ),
    (
        the_fix.no_burst_is_damaged,
        {"before": BEFORE, "after": AFTER},
        {
            "before: every burst is oversold and has duplicates": {
                "before": changed(BEFORE, duplicates=0)
            },
            "after: as many successes as the stock allows, 2 in every burst": {
                "after": changed(AFTER, successes=1)
            },
            "after: all other buyers are refused": {"after": changed(AFTER, refused=27)},
            "after: no duplicate, nothing oversold, the ledger is clean": {
                "after": changed(AFTER, clean=False)
            },
            "after: the stock ends where it should": {"after": changed(AFTER, available=12)},
        },
    ),
    (
        the_fix.the_schema_refuses,
        {"caught": CAUGHT, "answers": ANSWERS, "tried": TRIED},
        {
            "the naive code on the fixed schema: no duplicate, nothing oversold": {
                "caught": changed(CAUGHT, issued=16)
            },
            "and what refuses its copies is the primary key": {
                "answers": changed(ANSWERS, message="sold")
            },
            "every forbidden write is refused, by a constraint that has a name": {
                "tried": changed(TRIED, constraint="")
            },
            "the control and half a sale are accepted, and nothing else": {
                "tried": TRIED.assign(refused=True)
            },
        },
    ),
    (
        the_fix.each_fix_holds,
        {"fixes": FIXES},
        {
            "each fix: two purchases at once are clean in every schedule": {
                "fixes": changed(FIXES, clean=7)
            },
            "each fix: in some schedule a buyer waits or tries again": {
                "fixes": changed(FIXES, **{"a buyer waits": 0})
            },
        },
    ),
    (
        the_fix.the_damage_is_repaired,
        {"repaired": REPAIRED},
        {
            "the damaged event is clean after its repair": {
                "repaired": replace(REPAIRED, after=VIOLATED)
            },
            "every constraint is valid": {
                "repaired": replace(REPAIRED, guards=changed(GUARDS, valid="f"))
            },
            "purchases were sold while it was repaired, and none got an error": {
                "repaired": replace(REPAIRED, during=[attempt("eve", "failed")])
            },
            "every holder of a shared number is in the plan": {
                "repaired": replace(REPAIRED, planned=frozenset({"ann"}))
            },
            "no ticket was lost: all that were sold are issued": {
                "repaired": replace(REPAIRED, after=EventVerdict("E", issued=1))
            },
        },
    ),
]


@pytest.mark.parametrize(("case", "claim"), [(case, claim) for case in CASES for claim in case[2]])
def test_a_claim_turns_false_when_its_number_changes(case: tuple, claim: str) -> None:
    assert_can_fail(*case, claim)
