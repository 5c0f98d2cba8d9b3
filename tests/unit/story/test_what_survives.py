"""Each claim of notebook 09 turns false when its number is changed."""

from types import SimpleNamespace

import pandas as pd
import pytest

from tests.support.claims import failing, put
from ticketsvc.lab.story import what_survives as story

ASKED = pd.DataFrame({"tickets held": [8, 16]}, index=["with a key", "without"])
KEYED = pd.DataFrame(
    {
        "fault": ["server_kill", "database_crash"],
        "injections": 2,
        "retried": 5,
        "oversold": False,
        "duplicates": 0,
        "sold_twice": 0,
        "lost": 0,
        "unresolved": 0,
        "refused": 0,
        "audit": "clean",
        "restarts": [2, 0],
    }
)
WITHOUT = pd.DataFrame({"fault": ["answer_dropped", "database_freeze"], "sold_twice": 3})
CRASHED = pd.DataFrame({"durable": [True, False], "lost": [0, 7], "duplicates": 0})
RATE = {
    "refused": 500,
    "sold": 200,
    "max_waiting": 100,
    "refused_p50_ms": 2.0,
    "sold_p50_ms": 900.0,
    "unknown": 0,
}


def broken(asked=ASKED, keyed=KEYED, without=WITHOUT, crashed=CRASHED, clean=True, **load):
    overloaded = SimpleNamespace(
        figures=RATE | load,
        statuses=load.get("statuses", [503]),
        verdict=SimpleNamespace(clean=clean),
    )
    made = [
        *story.claims_of_keys(asked, keyed, without, times=2),
        *story.claims_of_the_flush(crashed),
        *story.claims_of_overload(overloaded),
    ]
    return failing(made), len(made)


CHANGES = [
    {"asked": put(ASKED, "without", "tickets held", 8)},
    {"keyed": put(KEYED, 0, "retried", 0)},
    {"keyed": put(KEYED, 1, "injections", 1)},
    {"keyed": put(KEYED, 0, "oversold", True)},
    {"keyed": put(KEYED, 0, "duplicates", 1)},
    {"keyed": put(KEYED, 0, "sold_twice", 1)},
    {"keyed": put(KEYED, 0, "lost", 1)},
    {"keyed": put(KEYED, 0, "unresolved", 1)},
    {"keyed": put(KEYED, 0, "refused", 1)},
    {"keyed": put(KEYED, 0, "audit", "violated")},
    {"keyed": put(KEYED, 1, "restarts", 1)},
    {"keyed": put(KEYED, 0, "restarts", 1)},
    {"without": put(WITHOUT, 0, "sold_twice", 0)},
    {"without": put(WITHOUT, 1, "sold_twice", 0)},
    {"crashed": put(CRASHED, 0, "lost", 1)},
    {"crashed": put(CRASHED, 1, "lost", 0)},
    {"crashed": put(CRASHED, 1, "duplicates", 1)},
    {"refused": 200},
    {"sold": 100},
    {"sold_p50_ms": 2.0},
    {"statuses": [429, 503]},
    {"unknown": 1},
    {"clean": False},
]


@pytest.mark.parametrize("place", range(len(CHANGES)))
def test_each_claim_turns_false_when_its_number_is_changed(place):
    assert broken() == ([], len(CHANGES))
    assert broken(**CHANGES[place])[0] == [place]
