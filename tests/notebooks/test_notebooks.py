"""Each notebook runs by itself, from anywhere, and keeps the rules of the house."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from psycopg.conninfo import conninfo_to_dict

from ticketsvc.lab.notebook import VERDICT_MIME

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))
SMALL: dict[str, dict[str, str]] = {
    "01-seed": {},
    "02-reproduce": {"repetitions": "2", "kinds": "[[2, 8], [20, 100]]"},
    "03-root-cause": {
        "arrivals": "[1, 10]",
        "pool_sizes": "[1, 10]",
        "gaps_ms": "[0, 800]",
        "repetitions": "3",
    },
    "04-the-fix": {"repetitions": "2"},
    "05-several-instances": {"repetitions": "2", "ports": "[0, 0]", "more_processes": "3"},
    "06-write-volume": {"quantities": "[8, 128]", "purchases": "20"},
    "07-which-schedules": {
        "buyers": "[2]",
        "sample": "10",
        "pool_sizes": "[10]",
        "repetitions": "2",
    },
    "08-throughput": {
        "connections": "[1, 32]",
        "at": "32",
        "repetitions": "2",
        "probes": "30",
    },
    "09-what-survives": {"times": "1", "between": "40", "overload_s": "2.0"},
    "10-is-it-in-your-service": {"bursts": "2", "limit_of_fixes": "10"},
}


def run(
    notebook: Path, out: Path, database: str, parameters: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    given = [word for name, value in parameters.items() for word in ("-y", f"{name}: {value}")]
    return subprocess.run(
        [sys.executable, "-m", "papermill", "--no-progress-bar", str(notebook), str(out), *given],
        cwd=out.parent,
        env={**os.environ, "DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def verdicts(executed: Path) -> list[dict[str, object]]:
    notebook = nbformat.read(executed, as_version=4)
    return [
        output["data"][VERDICT_MIME]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if VERDICT_MIME in output.get("data", {})
    ]


def test_every_notebook_is_covered() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(SMALL)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_ends_in_a_verdict_that_holds(
    notebook: Path, tmp_path: Path, database: str
) -> None:
    out = tmp_path / "executed.ipynb"
    finished = run(notebook, out, database, SMALL[notebook.stem])
    assert finished.returncode == 0, finished.stderr[-3000:]
    [verdict] = verdicts(out)
    assert verdict["holds"]
    assert len(verdict["claims"]) >= 4
    assert str(conninfo_to_dict(database)["password"]) not in out.read_text()


def test_a_verdict_that_does_not_hold_fails_the_notebook(tmp_path: Path, database: str) -> None:
    """Negative control: a single buyer does no damage, so 02 must not be borne out."""
    out = tmp_path / "executed.ipynb"
    [notebook] = [path for path in NOTEBOOKS if path.stem == "02-reproduce"]
    parameters = {"purchases": "1", "repetitions": "1", "kinds": "[[1, 8]]"}
    finished = run(notebook, out, database, parameters)
    assert finished.returncode != 0
    [verdict] = verdicts(out)
    assert not verdict["holds"]


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
    tree = compile(
        cell, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    found = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, forbidden)]
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return found + [name for name in imported if not str(name).startswith("ticketsvc.lab")]


@pytest.mark.parametrize(
    "cell", ["def f(): pass", "for x in y: pass", "import psycopg", "with x: pass"]
)
def test_the_rule_sees_what_does_not_belong(cell: str) -> None:
    assert faults_of(cell)
