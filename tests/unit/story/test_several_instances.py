"""What notebook 05 claims can fail."""

import pandas as pd
import pytest

from tests.support.claims import assert_can_fail, by_hand, changed
from ticketsvc.lab.story import several_instances

AFTER = pd.DataFrame(
    {
        "processes": 2,
        "total": 84,
        "purchases": 30,
        "quantity": 8,
        "successes": 10,
        "tickets": 80,
        "duplicates": 0,
        "available": 4,
        "clean": True,
    },
    index=range(2),
)
BEFORE = pd.DataFrame({"duplicates": [232]})
SHARES = pd.DataFrame({"3000": [15], "3001": [15]})
NAIVE = pd.DataFrame({"process": [3000, 3001], "number": [1, 1]})
GOOD = {
    "in_memory": [True, True],
    "by_hand": by_hand([], 0, ("waits for A", "goes on: available = 0")),
    "before": BEFORE,
    "after": AFTER,
    "shares": SHARES,
    "naive": NAIVE,
}
DOCTORED = {
    "a lock in memory: every process gets it": {"in_memory": [True, False]},
    "a lock in the database: the second session waits, and reads what the first wrote": {
        "by_hand": by_hand([], 0, ("waits for A", "goes on: available = 1"))
    },
    "every burst went to two processes or more": {"after": changed(AFTER, processes=1)},
    "each process answered its share of the purchases": {"shares": changed(SHARES, **{"3000": 0})},
    "10 purchases succeed in every burst": {"after": changed(AFTER, successes=11)},
    "80 tickets, all different, in every burst": {"after": changed(AFTER, duplicates=8)},
    "what is left is too little for one purchase": {"after": changed(AFTER, available=12)},
    "every ledger is clean": {"after": changed(AFTER, clean=False)},
    "before, every burst had duplicates": {"before": changed(BEFORE, duplicates=0)},
    "before, both processes sold the same numbers": {"naive": changed(NAIVE, number=2)},
}


@pytest.mark.parametrize("claim", DOCTORED)
def test_a_claim_turns_false_when_its_number_changes(claim: str) -> None:
    assert_can_fail(several_instances.every_number_is_sold_once, GOOD, DOCTORED, claim)
