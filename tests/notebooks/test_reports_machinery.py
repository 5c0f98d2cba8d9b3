"""How the report runs notebooks, what it keeps to itself, and what the index gathers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nbformat
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from psycopg.conninfo import make_conninfo

import ticketsvc.cli
from tests.notebooks import samples
from ticketsvc.errors import UsageError
from ticketsvc.lab import notebook
from ticketsvc.lab.experiments.lab import DatabaseAway, open_lab
from ticketsvc.lab.report import execution, redaction
from ticketsvc.lab.report import notebooks as found
from ticketsvc.lab.report import run_notebooks as reports
from ticketsvc.lab.report.facts import gather_facts
from ticketsvc.lab.report.index import write_index
from ticketsvc.lab.report.progress import Progress, durations_of_earlier_runs
from ticketsvc.lab.report.results import RECORD
from ticketsvc.settings import ROOT

FACTS = samples.FACTS


def test_a_failing_notebook_becomes_a_page_and_the_next_one_runs(ran: samples.Ran) -> None:
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


TOUCH = "import os, pathlib, time\npathlib.Path({!r}).write_text(os.environ['DATABASE_URL'])"
AWAIT = "while not pathlib.Path({!r}).exists(): time.sleep(0.01)"


def test_two_that_share_the_machine_run_together_and_another_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "first")
    monkeypatch.setattr(execution, "PRELOAD", "pass")  # for speed
    one, two, ended, last = (str(tmp_path / name) for name in ("one", "two", "ended", "last"))
    cells = {
        "01-a": (TOUCH.format(one), AWAIT.format(two)),
        "02-b": (TOUCH.format(two), AWAIT.format(one), AWAIT.format(ended), TOUCH.format(last)),
        "03-c": (),
    }
    notebooks = [
        samples.write(tmp_path, name, "Who runs?", *code, shares=name < "03")
        for name, code in cells.items()
    ]
    before = {}
    results = reports.run_notebooks(
        notebooks,
        {},
        tmp_path,
        tmp_path / "runs",
        second_database="second",
        on_start=lambda notebook: before.update({notebook.stem: Path(last).exists()}),
        on_end=lambda _: Path(ended).touch(),
        cell_timeout_s=60,
    )
    assert not any(result.failure for result in results)
    assert before == {"01-a": False, "02-b": False, "03-c": True}
    assert [Path(one).read_text(), Path(two).read_text()] == ["first", "second"]


def test_parameters_go_to_the_notebooks_that_declare_them(ran: samples.Ran) -> None:
    assert [dict(result.parameters) for result in ran.results] == [{"rows": 2}, {}, {}]
    assert ran.results[0].charts[0].alt == 'A line of "2" points, as it is'
    assert "1 changed for this run" in ran.page("01-holds")


def test_the_verdict_takes_the_figures_along(ran: samples.Ran) -> None:
    verdict = ran.results[0].verdict
    assert verdict is not None
    assert [(one["name"], one["value"]) for one in verdict["figures"]] == [("rows of the table", 2)]


def test_nothing_is_left_of_the_progress_of_a_cell(ran: samples.Ran) -> None:
    page = ran.page("01-holds")
    assert "counted" in page
    assert "to be cleared" not in page


def test_executed_copies_lie_in_runs_and_only_pages_in_reports(ran: samples.Ran) -> None:
    names = ["01-holds", "02-fails", "03-asks"]
    assert sorted(path.name for path in ran.runs.iterdir()) == [f"{name}.ipynb" for name in names]
    assert {path.suffix for path in ran.reports.iterdir()} == {".html", ".json"}
    for name in names:
        nbformat.validate(nbformat.read(ran.runs / f"{name}.ipynb", as_version=4))


def test_no_password_reaches_a_file(ran: samples.Ran) -> None:
    assert "postgresql://buyer:***@127.0.0.1:1/tickets" in ran.page("03-asks")
    assert "<b>***</b>" in ran.page("03-asks")
    for file in (*ran.reports.iterdir(), *ran.runs.iterdir()):
        assert "s3cr3t" not in file.read_text(), file.name
    assert "s3cr3t" in str(ran.redacted)  # the negative control


def test_nothing_that_runs_or_asks_is_left_in_a_page(ran: samples.Ran) -> None:
    page = ran.page("03-asks")
    output = page[page.index('data-mime-type="text/html"') :]
    assert "<p>kept</p>" in output
    for gone in ("<script", "<link", '<img src="http', "<p onclick"):
        assert gone not in output
    assert "[picture not in this file: gone]" in output


def test_a_cell_that_does_not_end_and_a_kernel_that_dies_are_failures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "PRELOAD", "pass")  # for speed
    endless = samples.write(tmp_path, "01-endless", "Will it end?", "import time", "time.sleep(99)")
    deadly = samples.write(tmp_path, "02-deadly", "Will it live?", "import os; os._exit(1)")
    first, second = reports.run_notebooks(
        [endless, deadly], {}, tmp_path, tmp_path / "runs", cell_timeout_s=2
    )
    assert first.failure is not None
    assert first.failure.cell.endswith("time.sleep(99)")
    assert first.failure.message == "it was still running after 2 seconds"
    assert second.failure is not None
    assert "DeadKernelError" in second.failure.message
    assert "failed" in (tmp_path / "02-deadly.html").read_text()
    assert "without encryption" not in "".join(capfd.readouterr())


def test_a_page_that_cannot_be_written_is_a_failure_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "PRELOAD", "pass")  # for speed
    fine = samples.write(tmp_path, "01-fine", "Is it written?", "1")
    page = tmp_path / "reports" / "01-fine.html"
    page.mkdir(parents=True)
    [result] = reports.run_notebooks([fine], {}, page.parent, tmp_path / "runs")
    assert result.failure is not None
    assert result.failure.message == f"{page} cannot be written: Is a directory"
    assert [path.name for path in page.parent.iterdir()] == ["01-fine.html"]


def test_a_kernel_that_has_just_ended_does_not_keep_the_others_running() -> None:
    ended, running = Mock(), Mock()
    ended.stop.side_effect = RuntimeError("No kernel is running")
    execution.stop_all([ended, running], [])
    running.stop.assert_called_once_with(kill=False)


def test_a_database_that_is_away_is_one_message_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseAway) as away:
        open_lab()
    InteractiveShell().showtraceback((DatabaseAway, away.value, away.tb))
    said = capsys.readouterr().out
    assert "the database cannot be reached" in said
    assert "python3 run.py db start" in said
    assert "locate.py" not in said


# The index


def test_the_index_keeps_the_reports_of_other_runs(ran: samples.Ran, tmp_path: Path) -> None:
    for file in ran.reports.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    again = replace(ran.results[0], title="Does it hold again?", charts=())
    page = write_index([again], tmp_path, facts=FACTS).read_text()
    assert "Does it hold again?" in page
    assert "Does it hold?" not in page
    assert "Does it fail?" in page
    assert page.count("earlier run") == 2
    assert "2 of 3 notebooks failed" in page


def test_the_index_leaves_out_what_is_no_notebook_any_more(
    ran: samples.Ran, tmp_path: Path
) -> None:
    for file in ran.reports.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "03-asks.html").unlink()
    (tmp_path / "04-odd.html").touch()
    (tmp_path / "04-odd.json").write_text("[1]")
    (tmp_path / "05-odd.html").touch()
    (tmp_path / "05-odd.json").write_text('{"name": "05-odd", "failure": null, "charts": []}')
    page = write_index([ran.results[0]], tmp_path, facts=FACTS, known=["01-holds"]).read_text()
    assert "The notebook holds" in page
    assert "odd" not in page
    page = write_index([], tmp_path, facts=FACTS).read_text()
    assert "1 of 2 notebooks failed" in page


def test_a_notebook_without_a_verdict_does_not_count_as_holding(
    ran: samples.Ran, tmp_path: Path
) -> None:
    mute = replace(ran.results[0], verdict=None)
    assert mute.state == "no verdict"
    page = write_index([mute], tmp_path, facts=FACTS).read_text()
    assert "1 of 1 notebook gave no verdict" in page


def test_the_index_escapes_what_notebooks_say(ran: samples.Ran) -> None:
    page = ran.page("index")
    assert "Yes: it &lt;holds&gt;." in page
    assert "it <holds>" not in page


def test_the_index_answers_first_and_links_to_the_evidence(ran: samples.Ran) -> None:
    [answer] = ran.results[0].answers
    before_verdicts = ran.page("index").partition("Verdicts")[0]
    assert "Because <code>1 &lt; 2</code> &amp; so on." in before_verdicts
    assert f'href="01-holds.html#{answer.anchor}"' in before_verdicts
    assert f'id="{answer.anchor}"' in ran.page("01-holds")


def test_only_the_questions_of_the_index_are_answered() -> None:
    with pytest.raises(ValueError, match="must be one of Is it broken"):
        notebook.answer("How?", "So.")


def test_the_index_says_what_runs_and_what_waits(ran: samples.Ran, tmp_path: Path) -> None:
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


def test_of_those_that_share_the_machine_the_first_and_the_longest_start_first(
    tmp_path: Path,
) -> None:
    names = ("01-a", "02-b", "03-c", "04-d", "05-e")
    notebooks = [samples.write(tmp_path, name, "?", shares=name != "02-b") for name in names]
    progress = Progress(notebooks, {"03-c": 10, "04-d": 20, "05-e": 15, "01-a": 1, "02-b": 50})
    order = [notebook.stem for notebook in progress.in_order_of_start(notebooks)]
    assert order == ["01-a", "04-d", "05-e", "03-c", "02-b"]
    assert progress.time_left() == "about 1 min 13 s left"


def test_the_index_of_an_interrupted_run_says_so_and_reloads_no_more(
    ran: samples.Ran, tmp_path: Path
) -> None:
    progress = Progress(samples.write_all(tmp_path), {})
    progress.start("01-holds")
    progress.interrupted = True
    page = index_of(progress, tmp_path)
    assert "The run was interrupted" in page
    assert (page.count("did not end"), page.count("did not run")) == (1, 3)
    assert 'http-equiv="refresh"' not in page


def test_the_index_of_a_finished_run_speaks_of_its_verdicts_alone(
    ran: samples.Ran, tmp_path: Path
) -> None:
    progress = Progress(samples.write_all(tmp_path), {})
    for result in ran.results:
        progress.start(result.name)
        progress.end(result)
    page = index_of(progress, tmp_path)
    assert "of this run" not in page
    assert "2 of 3 notebooks failed" in page


def index_of(progress: Progress, folder: Path) -> str:
    return write_index(progress.results, folder, facts=FACTS, progress=progress).read_text()


def test_the_time_left_goes_by_earlier_runs(ran: samples.Ran) -> None:
    found = durations_of_earlier_runs(ran.runs)
    assert found.keys() == {"01-holds", "02-fails", "03-asks"}
    took = {result.name: result.duration_s for result in ran.results}
    assert all(0 < took[name] < found[name] for name in took)  # which adds the start of the kernel


def test_results_come_back_from_json(ran: samples.Ran) -> None:
    for result in ran.results:
        record = RECORD.dump_json(result)
        assert RECORD.dump_json(RECORD.validate_json(record)) == record


def test_the_facts_name_machine_and_versions(database: str) -> None:
    facts = gather_facts(database)
    for name in ("Processors", "Memory", "System", "Python", "PostgreSQL", "psycopg", "ticketsvc"):
        assert any(digit.isdigit() for digit in facts[name]), name
    assert database not in str(facts)
    assert gather_facts("postgresql://nobody@127.0.0.1:1/x")["PostgreSQL"] == "did not answer"


# Redaction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
        ("postgres://u:se%40ret@h/d and more", "postgres://u:***@h/d and more"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("a hunter2!", "a ***!"),
        ("http://u:p@h/", "http://u:p@h/"),
    ],
)
def test_passwords_are_taken_out_of_text(text: str, expected: str) -> None:
    assert redaction.redact(text, ["hunter2"]) == expected


def test_redaction_reaches_everything_but_pictures() -> None:
    picture = {"image/png": "aahunter2bb", "image/svg+xml": "<svg>hunter2</svg>"}
    told = redaction.redact({"a": [picture, ("hunter2", 1, None)]}, ["hunter2"])
    assert told == {
        "a": [
            {"image/png": "aahunter2bb", "image/svg+xml": "<svg>***</svg>"},
            ["***", 1, None],
        ]
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://u:a%26b@h/d", ["a&amp;b", "a%26b", "a&b"]),
        ("host=h user=u password=hunter2", ["hunter2"]),
        ("postgresql://postgres:postgres@h/tickets", []),
        ("postgresql://u@h/d", []),
        ("no address", []),
        ("", []),
    ],
)
def test_the_password_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, address: str, expected: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", address)
    assert redaction.current_passwords() == expected


# What the command takes


def test_notebooks_are_found_by_number_and_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no notebooks: .* NN-name\.ipynb"):
        found.find_notebooks(tmp_path)
    notebooks = samples.write_all(tmp_path)
    (tmp_path / "scratch.ipynb").touch()
    assert found.find_notebooks(tmp_path) == notebooks
    assert found.find_notebooks(tmp_path, ["03-asks", "1", "01"]) == [notebooks[0], notebooks[2]]
    with pytest.raises(UsageError, match=r"--only 9.*01-holds, 02-fails, 03-asks"):
        found.find_notebooks(tmp_path, ["1", "9"])


def test_an_unreadable_notebook_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "01-broken.ipynb"
    for text in ("{", "[]", "{}"):
        broken.write_text(text)
        with pytest.raises(UsageError, match=r"01-broken\.ipynb cannot be read"):
            found.read_parameters(broken)


DECLARED = "n = 3\nx = 0.5\non = True\nword = 'a'\nmany = [1, 2]\nany_of = None\nmade = max(1, 2)"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n", "-5", -5),
        ("x", "2", 2),
        ("x", "1e3", 1000.0),
        ("on", "False", False),
        ("word", "42", "42"),
        ("many", "[8, 16]", [8, 16]),
        ("many", "[[2, 8], [4, 8]]", [[2, 8], [4, 8]]),
        ("any_of", "seven", "seven"),
        ("made", "7", 7),
        ("n", "None", None),
    ],
)
def test_values_are_read_as_papermill_reads_them(
    tmp_path: Path, name: str, text: str, value: Any
) -> None:
    notebook = samples.write(tmp_path, "01-takes", "What?", parameters=DECLARED)
    [(chosen, read)] = found.choose_parameters([notebook], [(name, text)]).items()
    assert chosen == name
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m", "1", "-p m: no chosen notebook declares it; declared are any_of, made, many, n, on"),
        ("n", "many", "-p n many: must be int, as its default 3"),
        ("n", "1.5", "must be int"),
        ("n", "True", "must be int"),
        ("on", "1", "must be bool"),
        ("many", "8", "must be list"),
        ("many", "8 16", "must be list"),
    ],
)
def test_a_value_of_another_type_is_refused(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    notebook = samples.write(tmp_path, "01-takes", "What?", parameters=DECLARED)
    with pytest.raises(UsageError) as refused:
        found.choose_parameters([notebook], [(name, text)])
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "99"], "--only 99: there is no such notebook; there are 01-"),
        (["--only", "1", "-p", "nonsense", "1"], "-p nonsense: no chosen notebook declares it"),
        (["--only", "1", "--output", f"{__file__}/out"], "/out: Not a directory"),
        (["--only", "1", "--scenario", "shop.toml"], "--scenario runs notebook 10: leave out"),
        (["--scenario", "no-shop.toml"], "no-shop.toml: No such file"),
        (["--compare", "yesterday"], "--compare yesterday: there is no such run; there "),
        (["--compare", "yesterday", "--only", "1"], "--only runs notebooks: leave out --compare"),
    ],
)
def test_bad_arguments_get_one_line_and_exit_2(
    cli_here: Any, arguments: list[str], words: str
) -> None:
    ended = cli_here("report", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_command_exits_1_when_a_notebook_fails_and_leaves_what_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    samples.write_all(tmp_path)
    monkeypatch.setattr(found, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(ticketsvc.cli.report, "ROOT", tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    out = tmp_path / "out"
    arguments = ["report", "--only", "02", "--output", str(out), "--json"]
    ended = CliRunner().invoke(ticketsvc.cli.ticketsvc, arguments)
    assert ended.exit_code == 1, ended.output
    said = json.loads(ended.stdout)
    assert said["failed"] == 1
    assert [Path(row["report"]).exists() for row in said["notebooks"]] == [True]
    assert Path(said["index"]) == out / "index.html"
    assert [path.parent for path in tmp_path.rglob("0*-*.ipynb") if path.parent != tmp_path] == [
        tmp_path / "runs"
    ]
    [run] = (tmp_path / "runs").glob("*.json")
    (run.parent / "20260101-000000.json").write_text(run.read_text().replace("failed", "holds"))
    arguments = ["report", "--compare", "20260101-000000", "--output", str(out), "--json"]
    ended = CliRunner().invoke(ticketsvc.cli.ticketsvc, arguments)
    told = json.loads(ended.stdout)
    assert (ended.exit_code, told["differs"], told["rows"][0]["what"]) == (0, 1, "verdict")
    assert Path(told["page"]).exists()


def test_a_scenario_goes_to_notebook_10_with_its_own_number_of_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    declared = "scenario = ''  # the file\nclients = 10  # in a burst"
    samples.write(tmp_path, "10-service", "Is it?", parameters=declared)
    told: list[Any] = []
    monkeypatch.setattr(found, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(ticketsvc.cli.report, "ROOT", tmp_path)
    monkeypatch.setattr(reports, "run_notebooks", lambda *given, **_: told.extend(given) or [])
    monkeypatch.setenv("DATABASE_URL", database)
    file = ROOT / "examples" / "python" / "naive.toml"
    arguments = ["report", "--scenario", str(file), "--output", str(tmp_path / "out")]
    assert CliRunner().invoke(ticketsvc.cli.ticketsvc, arguments).exit_code == 0
    [notebook], chosen, *_ = told
    assert (notebook.stem, chosen["clients"]) == ("10-service", 0)
    assert chosen["scenario"].endswith("examples/python/naive.toml")


@pytest.mark.parametrize(("role", "second"), [("postgres", True), ("pg_read_all_data", False)])
def test_a_role_that_may_create_no_database_runs_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str, role: str, second: bool
) -> None:
    samples.write_all(tmp_path)
    given: dict[str, Any] = {}
    monkeypatch.setattr(found, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(ticketsvc.cli.report, "ROOT", tmp_path)
    monkeypatch.setattr(reports, "run_notebooks", lambda *_, **more: given.update(more) or [])
    monkeypatch.setenv("DATABASE_URL", make_conninfo(database, options=f"-c role={role}"))
    ended = CliRunner().invoke(ticketsvc.cli.ticketsvc, ["report", "--output", str(tmp_path)])
    assert (ended.exit_code, given["second_database"] is not None) == (0, second), ended.output
