"""What notebook 03 claims can fail."""

import pandas as pd
import pytest

from tests.support.claims import assert_can_fail, by_hand, changed
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.story import root_cause

STEPS = pd.DataFrame(
    {
        "step": ["read_pool", "read_pool", "decrement", "decrement"],
        "ended_ms": [1.0, 2.0, 3.0, 4.0],
        "read_available": [8, 8, None, None],
        "stale_by": [None, None, 0, 1],
    }
)
DAMAGED = EventVerdict("E", duplicates=8)
BY_PURCHASES = pd.DataFrame(
    {"purchases": [1, 1, 10, 10], "pool_size": [1, 10, 1, 10], "damaged": [0, 0, 20, 20]}
)
GOOD = {
    "by_hand": by_hand([1], 0),
    "burst": DAMAGED,
    "steps": STEPS,
    "pair": DAMAGED,
    "by_purchases": BY_PURCHASES,
}
DOCTORED = {
    "by hand, one purchase after the other: one ticket, and none left": {
        "by_hand": by_hand([1, 1], -1)
    },
    "the burst was damaged": {"burst": EventVerdict("E")},
    "every purchase had read the stock before the first subtraction": {
        "steps": changed(STEPS, ended_ms=3.5)
    },
    "all read the same stock": {"steps": changed(STEPS, read_available=16)},
    "all but one subtracted on a stale read": {"steps": STEPS.assign(stale_by=0)},
    "two purchases are enough": {"pair": EventVerdict("E")},
    "one purchase alone never does damage": {"by_purchases": changed(BY_PURCHASES, damaged=1)},
    "10 purchases do, with every size of the pool": {
        "by_purchases": changed(BY_PURCHASES[::-1], damaged=0)
    },
}


@pytest.mark.parametrize("claim", DOCTORED)
def test_a_claim_turns_false_when_its_number_changes(claim: str) -> None:
    assert_can_fail(root_cause.all_decide_on_the_same_read, GOOD, DOCTORED, claim)
