"""What notebook 01 claims can fail."""

import pandas as pd
import pytest

from tests.support.claims import assert_can_fail, changed
from ticketsvc.lab.story import seed

SIX = pd.DataFrame(
    {"total": 16, "available": 8, "issued": 8, "unique": 8, "clean": True}, index=range(6)
)
POOLS = pd.concat([SIX.assign(schema="original"), SIX.assign(schema="fixed")], ignore_index=True)
GOOD = {"pools": POOLS, "same_tickets": True}
DOCTORED = {
    "both schemas hold six events": {"pools": POOLS.iloc[1:]},
    "every number is issued once": {"pools": changed(POOLS, unique=7)},
    "as many tickets are issued as the pools say are sold": {"pools": changed(POOLS, total=24)},
    "the audit finds every event clean": {"pools": changed(POOLS, clean=False)},
    "both schemas hold the same stock": {"pools": changed(POOLS, available=0)},
    "the view returns the tickets of the original, row for row": {"same_tickets": False},
}


@pytest.mark.parametrize("claim", DOCTORED)
def test_a_claim_turns_false_when_its_number_changes(claim: str) -> None:
    assert_can_fail(seed.both_schemas_are_clean, GOOD, DOCTORED, claim)
