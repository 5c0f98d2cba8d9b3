"""run.py: it makes the environment once, and leaves nothing behind however it ends."""

import ast
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.imports import imported
from tests.support.waiting import TIMEOUT_S, eventually

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Load run.py, with an environment of its own to make."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "python")
    return module


Children = Callable[[int, str], list[list[str]]]


@pytest.fixture
def children(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Children:
    """Replace what run.py starts: each child makes a venv when asked, and ends as given here."""

    def replace(code: int, output: str) -> list[list[str]]:
        seen: list[list[str]] = []

        def run_child(command: list[str], *_: object) -> tuple[int, str]:
            seen.append(command[1:])
            if "venv" in command:
                (bootstrap.VENV / "lib" / "site-packages").mkdir(parents=True)
                bootstrap.PYTHON.touch(0o755)
            return code, output

        monkeypatch.setattr(bootstrap, "run_child", run_child)
        return seen

    return replace


def _refusal(bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line with which run.py ends."""
    with pytest.raises(SystemExit) as ending:
        bootstrap.main([])
    assert ending.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("run.py: ")
    return last


def test_run_needs_nothing_installed() -> None:
    source = (ROOT / "run.py").read_text()
    names = {name.partition(".")[0] for name in imported(source, "run", ())}
    assert names <= sys.stdlib_module_names
    assert not re.search(r"https?:|index-url|find-links", source)


def test_run_can_be_read_by_a_python_that_it_refuses() -> None:
    ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 7))


def test_run_refuses_an_old_python(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert _refusal(bootstrap, capsys) == "run.py: Python 3.11 or newer is needed, this is 3.10.4"
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, bootstrap.OLDEST))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("not created successfully because ensurepip is not\navailable.\n", "python3-venv"),
        ("/usr/bin/python3: No module named venv\n", "python3-venv"),
        ("Error: No space left on device\n", "No space left on device"),
    ],
)
def test_run_says_why_an_environment_could_not_be_made(
    bootstrap: ModuleType,
    children: Children,
    capsys: pytest.CaptureFixture[str],
    output: str,
    reason: str,
) -> None:
    children(1, output)
    assert reason in _refusal(bootstrap, capsys)
    assert not bootstrap.VENV.exists()


def test_run_makes_the_environment_once_and_adds_what_a_command_needs(
    bootstrap: ModuleType, children: Children
) -> None:
    seen = children(0, "")
    bootstrap.prepare("requirements.lock")
    assert seen[0] == ["-m", "venv", str(bootstrap.VENV)]
    assert seen[1][-3:] == ["--require-hashes", "-r", str(ROOT / "requirements.lock")]
    assert seen[2][-2:] == ["-e", str(ROOT)]
    bootstrap.prepare("requirements.lock")
    assert len(seen) == 3
    bootstrap.prepare("requirements-test.lock")
    assert seen[3][-1] == str(ROOT / "requirements-test.lock")
    bootstrap.prepare("requirements-lab.lock")
    assert len(seen) == 5


def test_an_environment_that_was_left_half_made_is_made_again(
    bootstrap: ModuleType, children: Children
) -> None:
    half = bootstrap.VENV / "half"
    half.mkdir(parents=True)
    bootstrap.PYTHON.touch(0o755)
    children(0, "")
    bootstrap.prepare("requirements.lock")
    assert not half.exists()


INTERRUPTED = """
import importlib.util, pathlib, sys
file, folder, moment = sys.argv[1:]
spec = importlib.util.spec_from_file_location("bootstrap", file)
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)
run.VENV = pathlib.Path(folder, ".venv")
run.PYTHON = run.VENV / "python"
run_child = run.run_child
hang = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"

def run_or_hang(command, *show):
    (run.VENV / "lib" / "site-packages").mkdir(parents=True, exist_ok=True)
    run.PYTHON.touch()
    if moment not in command:
        return 0, ""
    return run_child([sys.executable, "-c", hang, str(pathlib.Path(folder, "reached"))], *show)

run.run_child = run_or_hang
run.take_signals()
sys.exit(run.main([]))
"""


@pytest.mark.parametrize("moment", ["venv", "pip"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_environment_and_no_child(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(ROOT / "run.py"), str(tmp_path), moment]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as started:
        try:
            eventually((tmp_path / "reached").exists)
            started.send_signal(number)
            _, said = started.communicate(timeout=TIMEOUT_S)
        finally:
            started.kill()
    assert started.returncode == 128 + number
    assert said.splitlines()[-1] in ("run.py: interrupted", "run.py: stopped by SIGTERM")
    assert [each.name for each in tmp_path.iterdir()] == ["reached"]
