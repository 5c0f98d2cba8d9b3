"""What notebook 02 claims can fail."""

import pandas as pd
import pytest

from tests.support.claims import assert_can_fail, by_hand, changed
from ticketsvc.lab.story import reproduce

BURSTS = pd.DataFrame(
    {
        "purchases": 30,
        "quantity": 8,
        "total": 8,
        "successes": 30,
        "unknown": 0,
        "tickets": 240,
        "unique": 8,
        "duplicates": 232,
        "available": -232,
        "oversold": True,
    },
    index=range(2),
)
PLENTY = BURSTS.assign(total=400, available=160, oversold=False)
EVERY = pd.concat([BURSTS, PLENTY], ignore_index=True)
VIOLATIONS = pd.DataFrame({"kind": ["duplicate"], "cause": ["race"]})
GOOD = {
    "by_hand": by_hand([1, 1], -1, ("1 row",)),
    "bursts": BURSTS,
    "every": EVERY,
    "violations": VIOLATIONS,
}
DOCTORED = {
    "by hand: two sessions sell one ticket twice, and the stock ends below zero": {
        "by_hand": by_hand([1], 0)
    },
    "no line waits or fails: a plain SELECT takes no row lock": {
        "by_hand": by_hand([1, 1], -1, ("waits for A",))
    },
    "no purchase was left without an answer": {"every": changed(EVERY, unknown=1)},
    "all 30 purchases succeed, in every burst": {"bursts": changed(BURSTS, successes=29)},
    "240 tickets are issued, 8 of them different, in every burst": {
        "bursts": changed(BURSTS, unique=16)
    },
    "232 duplicates, in every burst": {"bursts": changed(BURSTS, duplicates=231)},
    "the stock ends at -232, in every burst": {"bursts": changed(BURSTS, available=0)},
    "the checker names the duplicates, and a race as their cause": {
        "violations": changed(VIOLATIONS, cause="unexplained")
    },
    "a burst is oversold exactly when it wants more tickets than there are": {
        "every": EVERY.assign(oversold=True)
    },
    "every burst of every kind has duplicates": {"every": changed(EVERY, duplicates=0)},
    "bursts of one kind have equally many": {"every": changed(EVERY, duplicates=8)},
}


@pytest.mark.parametrize("claim", DOCTORED)
def test_a_claim_turns_false_when_its_number_changes(claim: str) -> None:
    assert_can_fail(reproduce.every_burst_oversells, GOOD, DOCTORED, claim)
