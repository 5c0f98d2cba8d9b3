"""The repository itself: which module may import which, its checks, and its words."""

import io
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbstripout
import pytest
import yaml

from tests import __main__ as runner
from tests.notebooks import samples
from tests.support.imports import imported

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ticketsvc"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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
    "lab.experiments": ("ticketsvc.lab.notebook", "ticketsvc.lab.report"),
    "lab.notebook": ("ticketsvc.lab.report",),
    "lab.explore": ("ticketsvc.lab.charts", "matplotlib"),  # a command that starts fast
}


# Imports


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
        ("ticketsvc.lab.explore.transcripts", "from ticketsvc.lab.charts.stock import stock"),
        (
            "ticketsvc.lab.widgets.schedule_grid",
            "from ticketsvc.lab.explore.case_scheduler import CaseScheduler",
        ),
        ("ticketsvc.lab.outcome_looks", "import psycopg"),
        ("ticketsvc.__init__", "from ticketsvc.errors import UsageError"),
        ("ticketsvc.helpers", "import os"),
    ],
)
def test_a_wrong_import_is_caught(module: str, line: str) -> None:
    assert wrong_imports({**_modules(), module: line}) != []


# The other files


def test_commit_hooks_download_nothing_and_name_real_checks() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["entry"].split()[-1] for hook in hooks] == list(runner.CHECKS)


def test_a_run_notebook_is_caught_and_stripped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = samples.write(tmp_path, "01-run", "Was it run?", parameters="buyers = 2  # how many")
    clean, dirty = json.loads(file.read_text()), json.loads(file.read_text())
    dirty["cells"][1]["metadata"]["papermill"] = dirty["metadata"]["papermill"] = {"duration": 1.0}
    file.write_text(json.dumps(dirty))

    def run(arguments: tuple[str, ...]) -> None:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))  # it is closed
        monkeypatch.setattr(sys, "argv", [*arguments, str(file)])
        nbstripout.main()

    with pytest.raises(SystemExit, match="1"):
        run(runner.CHECKS["notebooks"])
    run(runner.FIXES["notebooks"])
    assert json.loads(file.read_text()) == clean


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
    "ordeals?|undergo(?:es)?|strikes?|scenes?|patience|patient|keepers?|cutting prox(?:y|ies)"
    "|doubts?|holdings|collisions?|minters?|minted|galler(?:y|ies)(?! Opening)|exhibits?"
    "|atlas(?:es)?|shots?|fired|lanes?|aside|under way|in our terms|not as it should be|told again"
    "|crowd(?:s|ed)?|has news|deaf|overtaken|overtook|torn|by the clock|mended|whoever|turned away"
)


def given_up_words(text: str) -> list[str]:
    """Return the words of *text* for which the project has a term of the field."""
    return re.findall(rf"(?<![^\W_])(?:{GIVEN_UP})(?![^\W_])", text, flags=re.IGNORECASE)


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
