"""What notebook 06 claims can fail."""

import pandas as pd
import pytest

from tests.support.claims import assert_can_fail, changed
from ticketsvc.lab.story import write_volume

VOLUMES = pd.DataFrame(
    {
        "allocator": ["ticket_rows", "ticket_rows", "range", "range"],
        "quantity": [8, 128, 8, 128],
        "wal_bytes": [1_000.0, 16_000.0, 300.0, 300.0],
        "ledger_rows": [8, 128, 1, 1],
        "checkpoint": False,
        "clean": True,
    }
)
WRITTEN = pd.DataFrame({"records": [128, 1]})
NETS = pd.DataFrame(
    {
        "net": ["none", "none", "chain", "chain", "sequence_trigger", "sequence_trigger"],
        "batch": [1, 50] * 3,
        "wal_bytes": [100.0, 90.0, 300.0, 290.0, 200.0, 190.0],
    }
)
GOOD = {
    "volumes": VOLUMES,
    "written": WRITTEN,
    "nets": NETS,
    "view": pd.DataFrame({"ticket_number": range(1, 17)}),
    "small": 8,
    "large": 128,
}
DOCTORED = {
    "by hand: one record of WAL for a range, more than one for its rows": {
        "written": changed(WRITTEN, records=1)
    },
    "range: 128 tickets write at most 1.05 times the WAL of 8": {
        "volumes": changed(VOLUMES[::-1], wal_bytes=320.0)
    },
    "at 128 tickets, rows write at least 40 times the WAL of a range": {
        "volumes": changed(VOLUMES[::-1], wal_bytes=500.0)
    },
    "rows: WAL grows in proportion to the quantity, within a fifth": {
        "volumes": changed(VOLUMES, wal_bytes=2_000.0)
    },
    "rows: one row per ticket; range: one row per purchase": {
        "volumes": changed(VOLUMES, ledger_rows=1)
    },
    "no checkpoint ran during a measurement": {"volumes": changed(VOLUMES, checkpoint=True)},
    "the view returns each ticket once": {"view": pd.DataFrame({"ticket_number": range(1, 16)})},
    "the trigger writes less than the chain, alone and in batches": {
        "nets": changed(NETS[::-1], wal_bytes=290.0)
    },
    "no constraint writes less than none, within one byte": {
        "nets": changed(NETS, wal_bytes=300.0)
    },
    "every ledger is clean": {"volumes": changed(VOLUMES, clean=False)},
}


@pytest.mark.parametrize("claim", DOCTORED)
def test_a_claim_turns_false_when_its_number_changes(claim: str) -> None:
    assert_can_fail(write_volume.a_range_does_not_grow, GOOD, DOCTORED, claim)
