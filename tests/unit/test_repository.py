"""The repository itself: set-up, locks, containers, and which module may import which."""

import ast
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Container, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec

from tests import __main__ as runner
from tests.support.waiting import TIMEOUT_S, eventually

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ticketsvc"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Each lock holds all of the one before it, and what these extras of the project need.
LOCKS = {
    "requirements-service.lock": (),
    "requirements.lock": ("report",),
    "requirements-lab.lock": ("report", "lab"),
    "requirements-test.lock": ("report", "lab", "test"),
}

# From the top down. A package imports from the lines below its own, and from itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("lab",),
    ("service",),
    ("sales",),
    ("allocators",),
    ("database",),
    ("purchases", "settings"),
    ("errors", "interrupts"),
    ("__init__",),  # the package's own, with the version
)

# What a package must not know, whatever the layers allow, nor any module of ours that it imports.
_DRIVERS = ("aiohttp", "psycopg", "psycopg_pool", "ticketsvc.database")
FORBIDDEN = {
    "sales": ("aiohttp",),
    "allocators": ("aiohttp",),
    "database": ("aiohttp",),
    "lab.checker": _DRIVERS,
    "lab.charts": _DRIVERS,
    "lab.widgets": _DRIVERS,
}


# Imports


def imported(source: str, module: str, known: Container[str]) -> set[str]:
    """Return the dotted names that *source*, the text of *module*, imports, at any depth.

    `from a import b` names the module a.b where there is one, and else a.
    """
    names: set[str] = set()
    for node in _import_statements(source):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        else:
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                names.add(inner if inner in known else base)
    return names


@cache
def _import_statements(source: str) -> list[ast.Import | ast.ImportFrom]:
    nodes = ast.walk(ast.parse(source))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def wrong_imports(sources: dict[str, str]) -> list[str]:
    """Return every import that points up, or sideways, or at what its module must not know."""
    rank = {name: level for level, names in enumerate(LAYERS) for name in names}
    known = {name.removesuffix(".__init__") for name in sources}
    targets = {name: imported(source, name, known) for name, source in sources.items()}
    faults = []
    for module in sources:
        own = _layer(module)
        if own not in rank:
            faults.append(f"{module}: in no layer")
            continue
        for target in sorted(targets[module]):
            if _within(target, PACKAGE) and _layer(target) != own:
                level = rank.get(_layer(target))
                if level is None or level <= rank[own]:
                    faults.append(f"{module} imports {target}")
        for subject, unknown in FORBIDDEN.items():
            if _within(module, f"{PACKAGE}.{subject}"):
                faults += [
                    f"{module} must not know {target}"
                    for target in sorted(reached(module, targets))
                    if any(_within(target, name) for name in unknown)
                ]
    return faults


def reached(module: str, targets: dict[str, set[str]]) -> set[str]:
    """Return what *module* imports, and what the modules of ours among it import, and so on."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        new = (targets.get(name) or targets.get(f"{name}.__init__", set())) - found
        found |= new
        waiting += new
    return found


def _layer(module: str) -> str:
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0] or "__init__"


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _modules() -> dict[str, str]:
    """Return the text of each module by its dotted name; that of a package ends in `.__init__`."""
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text()
        for file in sorted((ROOT / PACKAGE).rglob("*.py"))
    }


def test_imports_point_one_way() -> None:
    modules = _modules()
    assert len(modules) > 20
    assert wrong_imports(modules) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ticketsvc.errors", "from ticketsvc.settings import ROOT"),
        ("ticketsvc.settings", "import ticketsvc.purchases"),
        ("ticketsvc.database.pool", "def late():\n    from ticketsvc.allocators import range"),
        ("ticketsvc.allocators.range", "from ticketsvc.service import app"),
        ("ticketsvc.allocators.range", "from ..service import app"),
        ("ticketsvc.allocators.__init__", "from ..sales.seller import Seller"),
        ("ticketsvc.allocators.range", "import aiohttp.web"),
        ("ticketsvc.sales.seller", "from aiohttp import web"),
        ("ticketsvc.service.app", "from ticketsvc.cli.console import complain"),
        ("ticketsvc.service.server", "from ticketsvc.lab.checker.check import check"),
        ("ticketsvc.lab.checker.check", "from psycopg import Connection"),
        ("ticketsvc.lab.checker.check", "from ticketsvc.database import pool"),
        ("ticketsvc.lab.checker.check", "from ticketsvc.lab.ledger.reader import read_ledger"),
        ("ticketsvc.lab.charts.bursts", "from ticketsvc.lab.experiments.bursts import Burst"),
        ("ticketsvc.lab.ledger.records", "import psycopg_pool"),
        (
            "ticketsvc.lab.widgets.schedule_grid",
            "from ticketsvc.lab.explore.scheduler import Scheduler",
        ),
        ("ticketsvc.lab.charts.outcomes", "import psycopg"),
        ("ticketsvc.__init__", "from ticketsvc.errors import UsageError"),
        ("ticketsvc.helpers", "import os"),
    ],
)
def test_a_wrong_import_is_caught(module: str, line: str) -> None:
    assert wrong_imports({**_modules(), module: line}) != []


# Locks


def pinned(lock: Path) -> dict[str, Version]:
    """Return the version of each package in *lock*."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def lock_faults(text: str) -> list[str]:
    """Return what is wrong with a lock: a package without hash, or an index named."""
    entries = re.split(r"\n(?=\S)", "\n".join(_uncommented(text)))
    faults = [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    return faults + re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links", text)


def _uncommented(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#")


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_hashed_and_name_no_index(lock: str) -> None:
    assert lock_faults((ROOT / lock).read_text()) == []


def test_a_bad_lock_is_caught() -> None:
    good = "a==1 \\\n    --hash=sha256:00\n"
    assert lock_faults(good) == []
    assert lock_faults(good + "b==2\n    # via a\n") == ["b==2"]
    assert lock_faults(good + "# https://example.org/simple\n") != []
    assert lock_faults("--index-url x\n" + good) != []


def test_each_lock_holds_the_one_before_it() -> None:
    """A package has one version, whichever lock it is installed from."""
    versions = [pinned(ROOT / lock).items() for lock in LOCKS]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(versions))


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items(), ids=LOCKS)
def test_a_lock_holds_what_the_project_declares(lock: str, extras: tuple[str, ...]) -> None:
    declared = [*PROJECT["dependencies"]]
    declared += [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    names = {canonicalize_name(Requirement(line).name) for line in declared}
    assert unlocked(declared, pinned(ROOT / lock)) == []
    assert asked_for((ROOT / lock).read_text()) == names, "run `make lock`"


def asked_for(text: str) -> set[str]:
    """Return the packages that a lock holds for the project itself, not for another package."""
    entries = re.split(r"\n(?=\w)", text)
    return {entry.partition("==")[0] for entry in entries if f"{PACKAGE} (pyproject.toml)" in entry}


def test_what_is_locked_for_nobody_else_is_seen() -> None:
    text = "a==1 \\\n    # via ticketsvc (pyproject.toml)\nb==2\n    # via\n    #   a\n"
    assert asked_for(text) == {"a"}


def test_an_unlocked_dependency_is_caught() -> None:
    locked = {"a-b": Version("1.5")}
    assert unlocked(["A_b>=1.5"], locked) == []
    assert unlocked(["a-b>=2", "c"], locked) == ["a-b>=2", "c"]


def unlocked(lines: Iterable[str], locked: dict[str, Version]) -> list[str]:
    """Return the requirements that *locked* does not satisfy."""
    wanted = {line: Requirement(line) for line in lines}
    return [
        line
        for line, requirement in wanted.items()
        if (version := locked.get(canonicalize_name(requirement.name))) is None
        or version not in requirement.specifier
    ]


def test_conda_takes_python_and_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    specs = {spec.name.normalized: spec for spec in map(MatchSpec, conda)}
    assert environment["name"] == PACKAGE
    assert specs.keys() == {"python", "pip"}
    assert str(specs["python"].version) == PROJECT["requires-python"]
    assert last == {"pip": ["-r requirements-lab.lock"]}


# Containers


def test_compose_gives_the_database_of_the_original() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert "name" not in compose  # docker-compose 1 rejects it
    db = compose["services"]["db"]
    assert db["image"] == "postgres:15"
    assert db["ports"] == ["127.0.0.1:5433:5432"]
    assert db["environment"] == {
        "POSTGRES_DB": "tickets",
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "postgres",
        "SERVICE_PASSWORD": "service",
    }
    assert "./sql:/docker-entrypoint-initdb.d:ro" in db["volumes"]
    assert db["healthcheck"]["test"][:4] == ["CMD", "pg_isready", "-h", "127.0.0.1"]


def test_compose_runs_the_service_on_that_database() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    service, owner = services["service"], services["owner"]
    assert service["environment"]["DATABASE_URL"] == (
        "postgresql://ticketsvc_service:service@db:5432/tickets"
    )
    assert owner["environment"]["DATABASE_URL"] == "postgresql://postgres:postgres@db:5432/tickets"
    assert service["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert service["ports"] == ["127.0.0.1:3000:3000"]


def test_compose_file_follows_the_specification(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace("healthcheck:", "health:"))
    assert broken.read_text() != text
    assert _validates(ROOT / "docker-compose.yml")
    assert not _validates(broken)


def _validates(compose: Path) -> bool:
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose)]
    return not subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, check=False
    ).returncode


def test_the_image_takes_its_packages_from_the_service_lock() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements-service.lock" in dockerfile
    assert 'ENTRYPOINT ["python", "-m", "ticketsvc"]' in dockerfile
    assert re.search(r"^USER (?!root)", dockerfile, flags=re.MULTILINE)


# run.py


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
                bootstrap.PYTHON.touch()
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
    bootstrap.PYTHON.touch()
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


# The other files


def test_commit_hooks_download_nothing_and_name_real_checks() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["entry"].split()[-1] for hook in hooks] == list(runner.CHECKS)


def test_a_run_notebook_is_caught_and_stripped(tmp_path: Path) -> None:
    clean = {
        "cells": [
            {
                "cell_type": "code",
                "id": "parameters",
                "metadata": {"tags": ["parameters"]},
                "execution_count": None,
                "source": ["buyers = 2  # how many"],
                "outputs": [],
            }
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    dirty: Any = json.loads(json.dumps(clean))
    dirty["cells"][0]["metadata"]["papermill"] = dirty["metadata"]["papermill"] = {"duration": 1.0}
    file = tmp_path / "dirty.ipynb"
    file.write_text(json.dumps(dirty))
    assert runner.run((*runner.CHECKS["notebooks"], str(file))) == 1
    assert runner.run((*runner.FIXES["notebooks"], str(file))) == 0
    assert json.loads(file.read_text()) == clean
    assert runner.run((*runner.CHECKS["notebooks"], str(file))) == 0


def test_no_file_knows_where_the_repository_lies() -> None:
    if len(ROOT.parts) < 3:
        pytest.skip("too short a path to search for")
    assert list(holding(str(ROOT).encode(), ROOT)) == []


def test_a_file_that_knows_is_caught(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("good", "bad", "runs/bad"):
        (tmp_path / name).write_text(str(tmp_path) if "bad" in name else "text")
    assert list(holding(str(tmp_path).encode(), tmp_path)) == [tmp_path / "bad"]


def holding(needle: bytes, folder: Path) -> Iterator[Path]:
    """Return the files that hold *needle*, leaving out what git ignores here."""
    made = {"runs", "reports", "node_modules", "__pycache__"}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            if entry.name == ".ci" or not (entry.name.startswith(".") or entry.name in made):
                yield from holding(needle, entry)
        elif entry.name != ".git" and needle in entry.read_bytes():
            yield entry


# Words that the project gave up for the field's own terms.
GIVEN_UP = (
    "ordeal|undergo|strikes?|scenes?|keepers?|doubts|collisions|crowded"
    "|has news|by the clock|end of patience|cutting proxy"
)


def given_up_words(text: str) -> list[str]:
    """Return the words of *text* for which the project has a term of the field."""
    return re.findall(rf"\b(?:{GIVEN_UP})\b", text, flags=re.IGNORECASE)


def test_words_that_were_given_up_stay_away() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    if not names:
        pytest.skip("not a checkout: git does not list the files")
    texts = {
        name: (ROOT / name).read_text()
        for name in names
        if name.endswith((".py", ".sql", ".md", ".ipynb", ".j2", ".toml"))
        and name not in ("CHANGELOG.md", "tests/unit/test_repository.py")
        and (ROOT / name).exists()
    }
    assert {name: found for name, text in texts.items() if (found := given_up_words(text))} == {}


def test_a_given_up_word_is_caught() -> None:
    assert given_up_words("It has to Undergo a fault: the keeper waits.") == ["Undergo", "keeper"]
    assert given_up_words("a striking scenery") == []
