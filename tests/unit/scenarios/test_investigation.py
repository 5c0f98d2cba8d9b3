"""What notebook 10 opens, and what it shows when there is nothing to show."""

from pathlib import Path

from ticketsvc.lab.explore.scenario import ScenarioExploration
from ticketsvc.lab.scenarios import investigation
from ticketsvc.lab.scenarios.spec import read_scenario
from ticketsvc.lab.story.is_it_in_your_service import what_the_schedules_do
from ticketsvc.settings import ROOT

SCENARIO = read_scenario(ROOT / "examples" / "sql" / "4-insert-where-not-exists" / "broken.toml")


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
    found = ScenarioExploration(SCENARIO, reasons=["a timer"])
    assert "No schedule" in investigation.smallest_step_by_step(found).data
    assert "0 schedules" in investigation.grid(found).data
    assert "Not all could be seen: a timer." in what_the_schedules_do(found)
