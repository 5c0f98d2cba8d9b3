"""Two runs side by side: what counts as different, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from ticketsvc.errors import UsageError
from ticketsvc.lab import figures
from ticketsvc.lab.figures import EXACT, ONCE, REPEATED, WAL, RecordedFigure
from ticketsvc.lab.report.compare import Row, compare, resolve, write_comparison
from ticketsvc.lab.report.runs import (
    NotebookRun,
    SavedRun,
    choose_runs,
    new_run_name,
    read_run,
    save_run,
)


def figure(value: float, spread: float = 0.0, noise: float = REPEATED) -> RecordedFigure:
    return RecordedFigure("sold", "per s", value, value - spread, value + spread, noise)


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        (figure(240, noise=EXACT), figure(240, noise=EXACT), "equal"),
        (figure(240, noise=EXACT), figure(241, noise=EXACT), "differs"),
        (figure(240, noise=EXACT), figure(240, spread=8, noise=EXACT), "differs"),
        (figure(-232, noise=EXACT), figure(-224, noise=EXACT), "differs"),
        (figure(100, spread=5), figure(200, spread=5), "differs"),
        (figure(200, spread=5), figure(100, spread=5), "differs"),
        (figure(100, spread=60), figure(200, spread=60), "no difference resolved"),
        (figure(100), figure(120), "no difference resolved"),
        (figure(100), figure(390, noise=ONCE), "no difference resolved"),
        (figure(100, noise=ONCE), figure(410, noise=ONCE), "differs"),
        (figure(0), figure(5), "no difference resolved"),
        (figure(100), figure(100), "no difference resolved"),
    ],
)
def test_a_difference_is_a_finding_only_beyond_the_noise(
    before: RecordedFigure, after: RecordedFigure, finding: str
) -> None:
    assert resolve(before, after) == finding
    assert resolve(after, before) == finding


def run(name: str, **notebook: Any) -> SavedRun:
    usual = {"state": "holds", "parameters": {"buyers": 30}, "duration_s": 9.0, "figures": []}
    return SavedRun(
        name,
        {"Date": name, "PostgreSQL": "18.1"},
        {"02-reproduce": NotebookRun(**(usual | notebook))},
    )


def findings(before: SavedRun, after: SavedRun) -> set[tuple[str, str]]:
    return {(row.what, row.finding) for row in compare(before, after) if row.finding != "equal"}


def test_runs_that_differ_in_their_date_alone_have_no_finding() -> None:
    expected = {("duration", "no difference resolved")}
    assert findings(run("a"), run("b", duration_s=35.0)) == expected


def test_what_became_other_is_named() -> None:
    after = SavedRun(
        "b", {"PostgreSQL": "17.2"}, run("b", state="failed", duration_s=37.0).notebooks
    )
    expected = {("PostgreSQL", "other conditions"), ("verdict", "differs"), ("duration", "differs")}
    assert findings(run("a"), after) == expected
    assert ("parameter buyers", "other conditions") in findings(run("a"), run("b", parameters={}))


def test_no_time_is_compared_with_that_of_a_busy_machine() -> None:
    counts, more = figure(1, noise=EXACT), figure(2, noise=EXACT)
    before = run("a", figures=[counts])
    slow = run("b", duration_s=99.0, figures=[more])
    assert {("duration", "differs"), ("sold", "differs")} == findings(before, slow)
    busy = SavedRun("b", slow.facts | {"Other work": "yes"}, slow.notebooks)
    expected = {("duration", "no difference resolved"), ("sold", "differs")}
    assert findings(before, busy) == expected | {("Other work", "other conditions")}


def test_what_one_run_alone_has_is_no_difference() -> None:
    assert ("sold", "in one run only") in findings(run("a", figures=[figure(1)]), run("b"))
    other = SavedRun("b", run("b").facts, {})
    assert findings(run("a"), other) == {("verdict", "in one run only")}


def test_differences_come_first_and_the_page_escapes_them(tmp_path: Path) -> None:
    before, after = run("a"), run("b", state="<failed>")
    rows = compare(before, after)
    assert rows[0] == Row("02-reproduce", "verdict", "holds", "<failed>", "differs")
    page = write_comparison(before, after, rows, tmp_path).read_text()
    assert "&lt;failed&gt;" in page
    assert "1 of 2 figures and verdicts differ" in page


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs, from the oldest to the newest, and a file that is none."""
    for name in ("20260101-000000", "20260102-000000", "20260103-000000"):
        text = json.dumps({"name": name, "facts": {}, "notebooks": {}})
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "odd.json").write_text('{"name": "odd", "facts": {}, "notebooks": {"02": {}}}')
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["20260101-000000"], ["20260101-000000", "20260103-000000"]),
        (["20260103-000000"], ["20260103-000000", "20260102-000000"]),
        (["20260102-000000", "20260101-000000"], ["20260102-000000", "20260101-000000"]),
    ],
)
def test_a_run_is_compared_with_a_second_one_or_the_newest_other(
    runs: Path, wanted: list[str], chosen: list[str]
) -> None:
    assert [run.name for run in choose_runs(runs, wanted)] == chosen
    files = [str(runs / f"{name}.json") for name in wanted]
    assert [run.name for run in choose_runs(runs, files)] == chosen


def test_two_runs_that_begin_in_the_same_second_are_two(runs: Path) -> None:
    earlier, later = new_run_name(), new_run_name()
    for name in (later, earlier):
        save_run(runs, name, {}, [], [])
    assert [run.name for run in choose_runs(runs, ["20260101-000000"])][1] == later
    assert [run.name for run in choose_runs(runs, [later])][1] == earlier


def test_a_run_that_is_not_there_is_refused_with_those_that_are(runs: Path) -> None:
    with pytest.raises(UsageError, match="no such run; there are 20260101-000000, 20260102-0"):
        choose_runs(runs, ["yesterday"])
    with pytest.raises(UsageError, match="there is none yet"):
        choose_runs(runs / "empty", ["yesterday"])
    with pytest.raises(UsageError, match="no record of a run"):
        read_run(runs / "odd.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"value": "abc"},
        {"value": float("nan")},
        {"value": 10**400},
        {"low": 2},
        {"noise": None},
        {"noise": 0.5},
        {"name": ["sold"]},
    ],
    ids=str,
)
def test_a_record_with_an_impossible_figure_is_none(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    one = {"name": "sold", "unit": "", "value": 1, "low": 1, "high": 1, "noise": 1}
    notebook = {"state": "holds", "parameters": {}, "duration_s": 1, "figures": [one]}
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"name": "a", "facts": {}, "notebooks": {"02": notebook}}))
    assert read_run(file).notebooks["02"].figures
    one |= changed
    file.write_text(json.dumps({"name": "a", "facts": {}, "notebooks": {"02": notebook}}))
    with pytest.raises(UsageError, match="no record of a run"):
        read_run(file)


def test_a_figure_carries_the_noise_of_how_often_it_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "_recorded", {})
    figures.record("rate", "per s", 2)
    figures.record("rate", "per s", 6, 5, 5, 4)
    figures.record("wal", "bytes", 3, noise=WAL)
    assert [RecordedFigure(**one) for one in figures.recorded()] == [
        RecordedFigure("rate", "per s", 5.0, 4.0, 6.0, REPEATED),
        RecordedFigure("wal", "bytes", 3.0, 3.0, 3.0, WAL),
    ]
