"""Each claim of notebook 11 turns false when its number is changed."""

from types import SimpleNamespace

import pandas as pd
import pytest

from tests.support.claims import failing, put
from ticketsvc.lab.experiments.scale import CommitCost
from ticketsvc.lab.story import more_than_one_machine as story

ONE = pd.DataFrame(
    {"rows": [1, 8], "tickets": [8, 8], "clean": True}, index=["as a range", "expanded"]
)
COST = CommitCost(fixed_s=1e-3, each_s=1e-5)
COMPARED = pd.DataFrame({"simulated_s": [1.0, 0.1], "measured_s": [1.1, 0.1]})
PLANS = pd.DataFrame(
    {"largest reported": [50_000, 3.0]},
    index=["cores for requests", "seconds to sell all on one PostgreSQL"],
)


def broken(
    *,
    one=ONE,
    sold=(8, 8),
    clean=True,
    expanded=8,
    left=0,
    cost=COST,
    compared=COMPARED,
    plans=PLANS,
):
    mixed = SimpleNamespace(
        sold=pd.DataFrame({"tickets": sold}),
        verdict=SimpleNamespace(clean=clean),
        expanded=expanded,
        after=SimpleNamespace(ranges_left=left),
    )
    made = [
        *story.claims_of_the_run(one, mixed, instances=2, could_be_sold=16),
        *story.claims_of_the_calculation(cost, 64, compared, plans),
    ]
    return failing(made), len(made)


CHANGES = [
    {"one": put(ONE, "expanded", "tickets", 16)},
    {"sold": (16,)},
    {"sold": (8, 16)},
    {"clean": False},
    {"left": 1},
    {"cost": CommitCost(fixed_s=1e-3, each_s=1e-3)},
    {"compared": put(COMPARED, 0, "simulated_s", 0.1)},
    {"plans": put(PLANS, "cores for requests", "largest reported", 32)},
    {"plans": put(PLANS, "seconds to sell all on one PostgreSQL", "largest reported", 864)},
]


@pytest.mark.parametrize("place", range(len(CHANGES)))
def test_each_claim_turns_false_when_its_number_is_changed(place):
    assert broken() == ([], len(CHANGES))
    assert broken(**CHANGES[place])[0] == [place]
