"""What notebook 10 concludes: yes, no or could not tell, and claims that can turn false."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support import sample_runs
from tests.support.claims import unfalsified
from ticketsvc.lab.explore.scenario import ScenarioExploration
from ticketsvc.lab.scenarios.burst import ScenarioBurst
from ticketsvc.lab.scenarios.clients import ClientResult
from ticketsvc.lab.scenarios.spec import read_scenario
from ticketsvc.lab.story import is_it_in_your_service as story
from ticketsvc.settings import ROOT

SCENARIO = read_scenario(ROOT / "examples" / "sql" / "4-insert-where-not-exists" / "broken.toml")
NAME = "4-insert-where-not-exists/broken.toml"
BAD = sample_runs.scenario_run(violated="no seat twice")
GOOD = sample_runs.scenario_run()


def explored(*runs, **more):
    found = ScenarioExploration(SCENARIO, complete=True, runs=list(runs))
    for run in runs:
        found.count(run)
    return replace(found, **more)


def burst(*violated, before=()):
    return ScenarioBurst((ClientResult("success"),), before, violated, ())


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (explored(BAD), f"Yes, in {NAME}: 1 of 1 schedules violate (unexplained)."),
        (explored(GOOD), f"No, not in {NAME}: the only schedule is clean."),
        (explored(GOOD, reasons=["a timer"]), f"Could not tell of {NAME}: a timer."),
    ],
    ids=["yes", "no", "could not tell"],
)
def test_the_answer(found, says):
    assert story.answer(found, [burst()]) == says


def test_invariants_that_are_violated_alike_are_told_together():
    both = replace(BAD, violated=(*BAD.violated, replace(BAD.violated[0], name="not oversold")))
    told = story.the_cause(explored(both))
    assert told.startswith(f"> **no seat twice** and **not oversold**, schedule {BAD.id}: unexp")


def test_a_burst_that_violates_is_an_answer_where_the_schedules_could_not_be_seen():
    found = explored(complete=False, reasons=["a timer"])
    assert story.answer(found, [burst(*BAD.violated)]).startswith("Yes")


HOLDS = {
    "found": explored(BAD),
    "again": BAD,
    "bursts": [burst(*BAD.violated)],
    "fixed": explored(GOOD),
    "tried": [SimpleNamespace(holds=False, why="it deadlocks")],
}


def test_each_claim_turns_false_when_its_evidence_changes():
    assert unfalsified(story.claims, HOLDS) == []
