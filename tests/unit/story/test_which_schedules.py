"""Each claim of notebook 07 turns false when its number is changed."""

from types import SimpleNamespace

import pandas as pd
import pytest

from tests.support.claims import failing
from tests.support.sample_runs import clean, oversold
from ticketsvc.lab.mutation.mutations import NOBODY
from ticketsvc.lab.story import which_schedules as story

COUNTS = [
    "schedules",
    "clean",
    "oversold",
    "duplicate",
    "refused",
    "refused_with_stock",
    "blocked",
    "retries",
]
MECHANISMS = {
    "transaction": (False, "", (20, 2, 18, 18, 0, 0, 0, 0)),
    "unique_only": (False, "", (20, 2, 18, 0, 0, 0, 0, 0)),
    "repeatable_read": (False, "40001", (20, 20, 0, 0, 18, 18, 18, 0)),
    "range": (True, "", (6, 6, 0, 0, 6, 0, 4, 0)),
}


def evidence():
    table = pd.DataFrame(
        {"mechanism": name, "safe": safe, "sqlstates": states, "complete": True, "buyers": 2}
        | dict(zip(COUNTS, counts, strict=True))
        for name, (safe, states, counts) in MECHANISMS.items()
    )
    return {
        "bulk": [clean(), oversold()],
        "naive": [clean(), clean(), oversold(represents=90)],
        "schedules": pd.DataFrame({"class": [1, 2, 2], "clean": [True, False, False]}),
        "table": table.set_index("mechanism", drop=False),
        "compared": pd.DataFrame({"mechanism": ["naive, 2 tickets each"], "same": [True]}),
        "mutants": pd.DataFrame({"caught by": ["explorer", "checker"]}),
        "drawn": SimpleNamespace(violating=0),
        "batches": SimpleNamespace(complete=True, violating=0, blocked=4),
    }


def claims(found):
    runs = {"naive_bulk": found["bulk"], "naive": found["naive"]}
    explored = {name: SimpleNamespace(runs=some) for name, some in runs.items()}
    method = (found[name] for name in ("compared", "mutants", "drawn", "batches"))
    return [
        *story.claims_of_naive(explored, found["schedules"]),
        *story.claims_of_mechanisms(found["table"].reset_index(drop=True)),
        *story.claims_of_the_method(*method),
    ]


def broken(found):
    return failing(claims(found))


def at(place, column, value):
    return lambda found: found["table"].__setitem__(
        column, found["table"][column].where(found["table"].index != place, value)
    )


def put(name, value):
    return lambda found: found.__setitem__(name, value)


CHANGES = [
    put("bulk", [clean(), clean(), oversold(0, 0, 0, 1, 1, 1)]),
    put("schedules", pd.DataFrame({"class": [1, 2, 2], "clean": [True, False, True]})),
    put("naive", [clean(), oversold(represents=90)]),
    at("range", "complete", False),
    at("range", "clean", 5),
    at("range", "refused_with_stock", 1),
    at("range", "blocked", -6),
    at("unique_only", "oversold", 0),
    at("transaction", "sqlstates", "40001"),
    at("unique_only", "duplicate", 1),
    at("repeatable_read", "sqlstates", ""),
    put("compared", pd.DataFrame({"mechanism": ["naive, 2 tickets each"], "same": [False]})),
    put("compared", pd.DataFrame({"mechanism": ["range"], "same": [True]})),
    put("mutants", pd.DataFrame({"caught by": ["explorer", NOBODY]})),
    put("drawn", SimpleNamespace(violating=1)),
    put("batches", SimpleNamespace(complete=True, violating=0, blocked=0)),
]


@pytest.mark.parametrize("place", range(len(CHANGES)))
def test_each_claim_turns_false_when_its_number_is_changed(place):
    found = evidence()
    assert broken(found) == []
    assert len(claims(found)) == len(CHANGES)
    CHANGES[place](found)
    assert broken(found) == [place]
