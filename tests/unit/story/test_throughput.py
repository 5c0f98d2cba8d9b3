"""Each claim of notebook 08 turns false when its number is changed."""

import pandas as pd
import pytest

from tests.support.claims import failing, put
from ticketsvc.lab.bench.throughput import Throughput
from ticketsvc.lab.story import throughput as story

AT, FEW = 64, 1
RATES = pd.DataFrame(
    [
        ("ticket_rows", AT, 200.0, 1.0, 1800.0),
        ("range", AT, 300.0, 1.0, 400.0),
        ("group_commit", AT, 2000.0, 0.1, 200.0),
        ("group_commit", FEW, 100.0, 1.0, 400.0),
    ],
    columns=["name", "connections", "goodput_per_s", "transactions", "wal_bytes"],
).assign(kind="allocator", audit="clean")
DURABILITY = pd.DataFrame(
    {"name": "range", "durable": [True, False], "at_risk_purchases": [1.0, 100.0]}
).assign(kind="allocator", audit="clean", goodput_per_s=300.0)
BATCHES = pd.DataFrame({"allocator": ["group_commit"], "purchases": [10], "commits": [5]})
MODEL = pd.DataFrame(
    {
        "allocator": ["ticket_rows", "range", "group_commit"],
        "predicted_per_s": [150.0, 250.0, 4000.0],
        "measured_per_s": [200.0, 300.0, 2000.0],
    }
)


def broken(rates=RATES, durability=DURABILITY, batches=BATCHES, model=MODEL):
    made = story.claims(Throughput(rates, durability, batches), model, AT, FEW)
    return failing(made), len(made)


CHANGES = [
    {"rates": put(RATES, 1, "audit", "violated")},
    {"rates": put(RATES, 1, "transactions", 2.0)},
    {"rates": put(RATES, 3, "transactions", 0.5)},
    {"batches": put(BATCHES, 0, "purchases", 2)},
    {"rates": put(RATES, 2, "goodput_per_s", 310.0)},
    {"model": put(MODEL, 1, "predicted_per_s", 5000.0)},
    {"model": put(MODEL, 0, "measured_per_s", 460.0)},
    {"rates": put(RATES, 0, "wal_bytes", 900.0)},
    {"rates": put(RATES, 2, "wal_bytes", 400.0)},
    {"durability": put(DURABILITY, 1, "at_risk_purchases", 1.0)},
]


@pytest.mark.parametrize("place", range(len(CHANGES)))
def test_each_claim_turns_false_when_its_number_is_changed(place):
    assert broken() == ([], len(CHANGES))
    assert broken(**CHANGES[place])[0] == [place]
