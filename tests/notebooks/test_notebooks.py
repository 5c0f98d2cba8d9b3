"""Each notebook runs by itself, from anywhere, and keeps the rules of the house."""

import ast
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from ticketsvc.lab.report.executed import find_title
from ticketsvc.lab.report.notebooks import read_notebook
from ticketsvc.lab.report.progress import FIRST_ESTIMATES_S
from ticketsvc.lab.report.run_notebooks import run_notebooks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))
Sizes = dict[str, dict[str, Any]]
# How small each notebook is run. The tests of one class run in one worker.
BUG: Sizes = {
    "01-seed": {},
    "02-reproduce": {"repetitions": 2, "repetitions_of_kinds": 1, "kinds": [[2, 16]]},
    "03-root-cause": {"arrivals": [1, 10], "pool_sizes": [1], "repetitions": 2},
    "05-several-instances": {"repetitions": 1, "ports": [0, 0], "more_processes": 2},
}
FIX: Sizes = {
    "04-the-fix": {"repetitions": 1, "sales": 8, "repeated_sales": 1},
    "06-write-volume": {"quantities": [8, 128], "purchases": 10},
    "07-which-schedules": {"buyers": [2], "sample": 10},
}
LOAD: Sizes = {
    "08-throughput": {"connections": [1, 32], "at": 32, "repetitions": 1, "probes": 30},
    "09-what-survives": {
        **{"times": 1, "between": 10, "buyers": 4, "processes": 1},
        **{"overload_s": 1.0, "peak_s": 0.5, "max_waiting": 20},
    },
    "11-more-than-one-machine": {"purchases": 100, "repetitions": 5, "arrivals": 300},
}
IN_A_BROWSER = "10-is-it-in-your-service"  # run by `tests/browser/test_reports.py`


def test_every_notebook_is_covered() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted({*BUG, *FIX, *LOAD, IN_A_BROWSER})


def test_the_contents_name_each_notebook_its_question_and_its_time() -> None:
    rows = [
        f"| [{path.stem.replace('-', ' ')}]({path.name}) | {find_title(read_notebook(path))} "
        f"| {FIRST_ESTIMATES_S[path.stem]} s |"
        for path in NOTEBOOKS
    ]
    assert "\n".join(rows) in (ROOT / "notebooks" / "README.md").read_text()


class Verdicts:
    def test_ends_in_a_verdict_that_holds(
        self,
        name: str,
        size: dict[str, Any],
        tmp_path: Path,
        database: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database)
        notebook = ROOT / "notebooks" / f"{name}.ipynb"
        [result] = run_notebooks([notebook], size, tmp_path, tmp_path)
        assert result.failure is None or "not borne out" in result.failure.message
        assert result.verdict is not None
        claims = result.verdict["claims"]
        assert len(claims) >= 4
        # Those of speed hold on a machine that does nothing else: `python3 run.py` asserts them.
        assert [one["text"] for one in claims if not (one["holds"] or one["of_speed"])] == []
        password = str(conninfo_to_dict(database)["password"])
        assert all(password not in file.read_text() for file in tmp_path.iterdir())


@pytest.mark.parametrize(("name", "size"), BUG.items(), ids=BUG)
class TestTheBug(Verdicts):
    pass


@pytest.mark.parametrize(("name", "size"), FIX.items(), ids=FIX)
class TestTheFix(Verdicts):
    pass


@pytest.mark.parametrize(("name", "size"), LOAD.items(), ids=LOAD)
class TestUnderLoad(Verdicts):
    pass


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_keeps_the_rules(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert "".join(cells[0]["source"]).startswith("# ")
    assert "Invariant:" in "".join(cells[0]["source"])
    assert any("**The bottom line.**" in "".join(cell["source"]) for cell in cells[:5])
    [parameters] = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert not faults_of("".join(parameters["source"]))
    lines = [line for line in parameters["source"] if line.strip()]
    assert all("#" in line for line in lines), "a parameter without a word"
    for cell in code:
        assert not faults_of("".join(cell["source"]))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_told_in_short_cells(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [len(cell.splitlines()) for cell in code]
    assert (statistics.median(lines) <= 4, max(lines) <= 12) == (True, True)
    assert not any(isinstance(node, ast.JoinedStr) for cell in code for node in nodes_of(cell))
    told = "\n".join("".join(cell["source"]) for cell in cells)
    assert told.index("\nverdict(") < told.index("\n## Two things to try")


def nodes_of(cell: str) -> Iterator[ast.AST]:
    """Return what the code of *cell* consists of."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return ast.walk(compile(cell, "cell", "exec", flags, dont_inherit=True))


def faults_of(cell: str) -> list[str]:
    """Name what does not belong into a cell: definitions, loops, drivers."""
    forbidden = (
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.For,
        ast.AsyncFor,
        ast.While,
        ast.With,
        ast.AsyncWith,
    )
    nodes = list(nodes_of(cell))
    found = [type(node).__name__ for node in nodes if isinstance(node, forbidden)]
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return found + [name for name in imported if not str(name).startswith("ticketsvc.lab")]


@pytest.mark.parametrize(
    "cell", ["def f(): pass", "for x in y: pass", "import psycopg", "with x: pass"]
)
def test_the_rule_sees_what_does_not_belong(cell: str) -> None:
    assert faults_of(cell)
