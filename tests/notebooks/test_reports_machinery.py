"""How the report runs notebooks, and what it keeps to itself."""
# ruff: noqa: PLR0917 - fixtures arrive by name

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result
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
from ticketsvc.lab.report.progress import Progress
from ticketsvc.settings import ROOT

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


def test_what_a_kernel_imports_first_leaves_no_name() -> None:
    """A notebook that lacks an import fails in the report as it does in JupyterLab."""
    names: dict[str, object] = {"__builtins__": {"__import__": __import__}}
    exec(execution.PRELOAD, names)  # noqa: S102 - our own line
    assert names.keys() == {"__builtins__"}


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


def test_only_the_questions_of_the_index_are_answered() -> None:
    with pytest.raises(ValueError, match="must be one of Is it broken"):
        notebook.answer("How?", "So.")


def test_of_those_that_share_the_machine_the_first_and_the_longest_start_first(
    tmp_path: Path,
) -> None:
    names = ("01-a", "02-b", "03-c", "04-d", "05-e")
    notebooks = [samples.write(tmp_path, name, "?", shares=name != "02-b") for name in names]
    progress = Progress(notebooks, {"03-c": 10, "04-d": 20, "05-e": 15, "01-a": 1, "02-b": 50})
    order = [notebook.stem for notebook in progress.in_order_of_start(notebooks)]
    assert order == ["01-a", "04-d", "05-e", "03-c", "02-b"]
    assert progress.time_left() == "about 1 min 13 s left"


def test_the_facts_name_machine_and_versions(database: str) -> None:
    facts = gather_facts(database)
    for name in ("Processors", "Memory", "System", "Python", "PostgreSQL", "psycopg", "ticketsvc"):
        assert any(digit.isdigit() for digit in facts[name]), name
    assert database not in str(facts)


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


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Callable[..., Result]:
    """Run `report` on the notebooks of the test's folder."""
    monkeypatch.setattr(found, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(ticketsvc.cli.report, "ROOT", tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    return lambda *given: CliRunner().invoke(ticketsvc.cli.ticketsvc, ["report", *given])


def test_the_command_exits_1_when_a_notebook_fails_and_leaves_what_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Callable[..., Result]
) -> None:
    samples.write_all(tmp_path)
    monkeypatch.setattr(execution, "PRELOAD", "pass")  # for speed
    out = tmp_path / "out"
    ended = report("--only", "02", "--output", str(out), "--json")
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
    ended = report("--compare", "20260101-000000", "--output", str(out), "--json")
    told = json.loads(ended.stdout)
    assert (ended.exit_code, told["differs"], told["rows"][0]["what"]) == (0, 1, "verdict")
    assert Path(told["page"]).exists()


def test_a_scenario_goes_to_notebook_10_with_its_own_number_of_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Callable[..., Result]
) -> None:
    declared = "scenario = ''  # the file\nclients = 10  # in a burst"
    samples.write(tmp_path, "10-service", "Is it?", parameters=declared)
    told: list[Any] = []
    monkeypatch.setattr(reports, "run_notebooks", lambda *given, **_: told.extend(given) or [])
    file = ROOT / "examples" / "python" / "naive.toml"
    assert report("--scenario", str(file), "--output", str(tmp_path / "out")).exit_code == 0
    [notebook], chosen, *_ = told
    assert (notebook.stem, chosen["clients"]) == ("10-service", 0)
    assert chosen["scenario"].endswith("examples/python/naive.toml")


@pytest.mark.parametrize(("role", "second"), [("postgres", True), ("pg_read_all_data", False)])
def test_a_role_that_may_create_no_database_runs_one_at_a_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    report: Callable[..., Result],
    role: str,
    second: bool,
) -> None:
    samples.write_all(tmp_path)
    given: dict[str, Any] = {}
    monkeypatch.setattr(reports, "run_notebooks", lambda *_, **more: given.update(more) or [])
    monkeypatch.setenv("DATABASE_URL", make_conninfo(database, options=f"-c role={role}"))
    ended = report("--output", str(tmp_path))
    assert (ended.exit_code, given["second_database"] is not None) == (0, second), ended.output
