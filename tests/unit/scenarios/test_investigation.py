"""What notebook 10 concludes: yes, no or could not tell, and the claims that it rests on."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import sample_runs
from ticketsvc.lab.explore.scenario import ScenarioExploration
from ticketsvc.lab.scenarios import investigation
from ticketsvc.lab.scenarios.burst import ScenarioBurst
from ticketsvc.lab.scenarios.clients import ClientResult, actors_of
from ticketsvc.lab.scenarios.spec import read_scenario
from ticketsvc.settings import ROOT

SCENARIO = read_scenario(ROOT / "examples" / "sql" / "4-insert-where-not-exists" / "broken.toml")
NAME = "4-insert-where-not-exists/broken.toml"
BAD = sample_runs.scenario_run(violated="no seat twice")


def explored(*runs, **more):
    found = ScenarioExploration(SCENARIO, complete=True, runs=list(runs))
    for run in runs:
        found.count(run)
    return replace(found, **more)


def burst(*violated, before=()):
    actors = tuple(actors_of(SCENARIO))
    return ScenarioBurst(actors, (ClientResult("success"),), before, violated, ())


def broken(found, bursts, again=None, fixed=None):
    """Return the claims that do not hold."""
    made = investigation.claims(found, again, bursts, fixed, [])
    return [text for text, holds in made if not holds]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (explored(BAD), f"Yes, in {NAME}: 1 of 1 schedules violate (unexplained)."),
        (
            explored(sample_runs.scenario_run()),
            f"No, not in {NAME}: the only schedule is clean.",
        ),
        (
            explored(sample_runs.scenario_run(), complete=False, reasons=["a timer"]),
            f"Could not tell of {NAME}: a timer.",
        ),
    ],
    ids=["yes", "no", "could not tell"],
)
def test_the_answer(found, says):
    assert investigation.answer(found, [burst()]) == says
    assert broken(found, [burst()], again=found.smallest) == []


def test_a_burst_that_violates_is_an_answer_where_the_schedules_could_not_be_seen():
    found = explored(complete=False, reasons=["a timer"])
    assert investigation.answer(found, [burst(*BAD.violated)]).startswith("Yes")


def test_claims_fail_when_the_evidence_does_not_agree():
    clean, bad = explored(sample_runs.scenario_run()), explored(BAD)
    assert len(broken(clean, [burst(*BAD.violated)])) == 1  # a burst did what no schedule does
    assert len(broken(bad, [burst(before=BAD.violated)], again=BAD)) == 1
    assert len(broken(bad, [burst()], again=sample_runs.scenario_run())) == 1
    assert len(broken(bad, [burst()], again=BAD, fixed=bad)) == 1
    assert len(broken(clean, [burst()], fixed=clean)) == 1  # there was nothing to fix


def test_the_example_is_the_one_that_can_run(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    opened = investigation.open_investigation("", "", "", limit=1)
    assert opened.scenario.folder.name == "aiohttp-psycopg"
    assert (opened.scenario.file.stem, opened.fixed.file.stem) == ("naive", "fixed")


def test_a_scenario_of_ones_own_needs_no_fixed_twin():
    opened = investigation.open_investigation("", str(Path(SCENARIO.file)), "", limit=1)
    assert opened.scenario == SCENARIO
    assert opened.fixed is None


def test_without_a_schedule_the_pictures_say_so():
    found = explored(complete=False, reasons=["a timer"])
    assert "No schedule" in investigation.smallest_step_by_step(found).data
    assert "0 schedules" in investigation.grid(found).data
    assert "Not all could be seen: a timer." in investigation.schedules_in_words(found)
