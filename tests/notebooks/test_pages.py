"""The pages of small notebooks and their index: what is in them, and what is kept out."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import nbformat
import pytest

from tests.notebooks import samples
from tests.notebooks.samples import STAND_IN, Ran
from ticketsvc.lab.report.index import write_index
from ticketsvc.lab.report.progress import Progress, durations_of_earlier_runs
from ticketsvc.lab.report.results import RECORD


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The sample notebooks, run once, with their pages and their index."""
    return Ran(tmp_path_factory.mktemp("samples"))


def test_a_failing_notebook_becomes_a_page_and_the_next_one_runs(ran: Ran) -> None:
    assert sorted(ran.calls) == ["01-holds", "02-fails", "03-asks", "failed", "failed", "holds"]
    holds, fails, asks = ran.results
    assert (holds.failure, holds.claims, holds.title) == (None, (2, 2), "Does it hold?")
    assert fails.failure is not None
    assert fails.failure.cell == f"cell [2]: {samples.FAILS}"
    assert fails.failure.message == "AssertionError: not borne out: one is two"
    assert fails.verdict is not None
    assert fails.claims == (1, 2)
    assert asks.failure is not None
    assert asks.failure.message == "KeyError: 'password'"
    assert asks.verdict is None
    assert f'id="{fails.failure.anchor}"' in ran.page("02-fails")
    assert "never reached" in ran.page("02-fails")  # the cell is shown
    assert "papermill-error-cell" not in ran.page("02-fails")


def test_a_page_has_its_parameters_and_figures_and_no_progress_of_a_cell(ran: Ran) -> None:
    assert [dict(result.parameters) for result in ran.results] == [{"rows": 2}, {}, {}]
    page, verdict = ran.page("01-holds"), ran.results[0].verdict
    assert "1 changed for this run" in page
    assert verdict is not None
    assert [(one["name"], one["value"]) for one in verdict["figures"]] == [("rows of the table", 2)]
    assert "counted" in page
    assert "to be cleared" not in page


def test_executed_copies_lie_in_runs_and_only_pages_in_reports(ran: Ran) -> None:
    names = ["01-holds", "02-fails", "03-asks"]
    assert sorted(path.name for path in ran.runs.iterdir()) == [f"{name}.ipynb" for name in names]
    assert {path.suffix for path in ran.reports.iterdir()} == {".html", ".json"}
    for name in names:
        nbformat.validate(nbformat.read(ran.runs / f"{name}.ipynb", as_version=4))


def test_no_password_reaches_a_file(ran: Ran) -> None:
    assert "postgresql://buyer:***@127.0.0.1:1/tickets" in ran.page("03-asks")
    assert "<b>***</b>" in ran.page("03-asks")
    for file in (*ran.reports.iterdir(), *ran.runs.iterdir()):
        assert "s3cr3t" not in file.read_text(), file.name
    assert "s3cr3t" in str(ran.redacted)  # the negative control


def test_nothing_that_runs_or_asks_is_left_in_a_page(ran: Ran) -> None:
    page = ran.page("03-asks")
    output = page[page.index('data-mime-type="text/html"') :]
    assert "<p>kept</p>" in output
    for gone in ("<script", "<link", '<img src="http', "<p onclick"):
        assert gone not in output
    assert "[picture not in this file: gone]" in output


def test_results_come_back_from_json(ran: Ran) -> None:
    for result in ran.results:
        record = RECORD.dump_json(result)
        assert RECORD.dump_json(RECORD.validate_json(record)) == record


def test_the_time_left_goes_by_earlier_runs(ran: Ran) -> None:
    found = durations_of_earlier_runs(ran.runs)
    assert found.keys() == {"01-holds", "02-fails", "03-asks"}
    took = {result.name: result.duration_s for result in ran.results}
    assert all(0 < took[name] < found[name] for name in took)  # which adds the start of the kernel


# The index


def index_of(progress: Progress, folder: Path) -> str:
    return write_index(progress.results, folder, facts=STAND_IN, progress=progress).read_text()


def test_the_index_keeps_the_reports_of_other_runs(ran: Ran, tmp_path: Path) -> None:
    copytree(ran.reports, tmp_path, dirs_exist_ok=True)
    again = replace(ran.results[0], title="Does it hold again?", charts=())
    page = write_index([again], tmp_path, facts=STAND_IN).read_text()
    assert "Does it hold again?" in page
    assert "Does it hold?" not in page
    assert "Does it fail?" in page
    assert page.count("earlier run") == 2
    assert "2 of 3 notebooks failed" in page


def test_the_index_leaves_out_what_is_no_notebook_any_more(ran: Ran, tmp_path: Path) -> None:
    copytree(ran.reports, tmp_path, dirs_exist_ok=True)
    (tmp_path / "03-asks.html").unlink()
    (tmp_path / "04-odd.html").touch()
    (tmp_path / "04-odd.json").write_text("[1]")
    (tmp_path / "05-odd.html").touch()
    (tmp_path / "05-odd.json").write_text('{"name": "05-odd", "failure": null, "charts": []}')
    page = write_index([ran.results[0]], tmp_path, facts=STAND_IN, known=["01-holds"]).read_text()
    assert "2 of 2 claims hold, in 1 notebook" in page
    assert "odd" not in page
    page = write_index([], tmp_path, facts=STAND_IN).read_text()
    assert "1 of 2 notebooks failed" in page


def test_a_notebook_without_a_verdict_does_not_count_as_holding(ran: Ran, tmp_path: Path) -> None:
    mute = replace(ran.results[0], verdict=None)
    assert mute.state == "no verdict"
    page = write_index([mute], tmp_path, facts=STAND_IN).read_text()
    assert "1 of 1 notebook gave no verdict" in page


def test_the_index_escapes_and_answers_first_and_links_to_the_evidence(ran: Ran) -> None:
    [answer] = ran.results[0].answers
    before, _, verdicts = ran.page("index").partition("Verdicts")
    assert "Because <code>1 &lt; 2</code> &amp; so on." in before
    assert f'href="01-holds.html#{answer.anchor}"' in before
    assert f'id="{answer.anchor}"' in ran.page("01-holds")
    assert "Yes: it &lt;holds&gt;." in verdicts
    assert "it <holds>" not in verdicts


def test_the_index_says_what_runs_and_what_waits(ran: Ran, tmp_path: Path) -> None:
    progress = Progress(samples.write_all(tmp_path), {"02-fails": 30, "03-asks": 40})
    first, *_ = ran.results
    page = index_of(progress, tmp_path)
    assert (page.count("waits"), page.count("runs now")) == (3, 0)
    assert "0 of 3 notebooks of this run have ended" in page
    progress.start("01-holds")
    progress.end(first)
    progress.start("02-fails")
    page = index_of(progress, tmp_path)
    assert "1 of 3 notebooks of this run have ended" in page
    assert "Does it hold?" in page
    assert page.count('class="pending"') == 2
    assert 'http-equiv="refresh"' in page
    assert "02-fails runs now" in page
    assert progress.time_left() in ("about 1 min 10 s left", "about 1 min 9 s left")


def test_the_index_of_an_interrupted_run_says_so_and_reloads_no_more(
    ran: Ran, tmp_path: Path
) -> None:
    progress = Progress(samples.write_all(tmp_path), {})
    progress.start("01-holds")
    progress.interrupted = True
    page = index_of(progress, tmp_path)
    assert "The run was interrupted" in page
    assert (page.count("did not end"), page.count("did not run")) == (1, 3)
    assert 'http-equiv="refresh"' not in page


def test_the_index_of_a_finished_run_speaks_of_its_verdicts_alone(ran: Ran, tmp_path: Path) -> None:
    progress = Progress(samples.write_all(tmp_path), {})
    for result in ran.results:
        progress.start(result.name)
        progress.end(result)
    page = index_of(progress, tmp_path)
    assert "of this run" not in page
    assert "2 of 3 notebooks failed" in page
