"""Find the notebooks, and read what each declares."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.translators import PythonTranslator

from ticketsvc.errors import UsageError
from ticketsvc.lab.report.results import Parameter
from ticketsvc.settings import ROOT

NOTEBOOKS = ROOT / "notebooks"


def find_notebooks(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks in their order; with *only*, those of these numbers or names.

    Raise `UsageError` when there are none, or none of a wanted number or name.
    """
    found = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise UsageError(f"no notebooks: {folder} holds no file NN-name.ipynb")
    chosen = set()
    for wanted in only:
        matches = [
            notebook
            for notebook in found
            if wanted.removesuffix(".ipynb") == notebook.stem
            or (wanted.isdecimal() and int(wanted) == int(notebook.stem[:2]))
        ]
        if not matches:
            names = ", ".join(notebook.stem for notebook in found)
            raise UsageError(f"--only {wanted}: there is no such notebook; there are {names}")
        chosen.update(matches)
    return [notebook for notebook in found if notebook in chosen or not only]


def read_notebook(file: Path) -> NotebookNode:
    """Return the notebook in *file*; raise `UsageError` that names it when it cannot be read."""
    try:
        return nbformat.read(file, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise UsageError(f"notebook {file.name} cannot be read: {reason}") from None


def read_parameters(notebook: Path) -> list[Parameter]:
    """Return what the notebook's `parameters` cell declares."""
    for cell in read_notebook(notebook).cells:
        if "parameters" in cell.metadata.get("tags", ()):
            return [
                Parameter(found.name, found.default, found.help)
                for found in PythonTranslator.inspect(cell)
            ]
    return []


def shares_machine(notebook: Path) -> bool:
    """Return whether the notebook says that another one may run at the same time.

    It says so in its metadata, `"ticketsvc": {"shares_machine": true}`, when it measures nothing
    that depends on how busy the machine or the database server is.
    """
    said = read_notebook(notebook).metadata.get("ticketsvc", {})
    return said.get("shares_machine") is True


def choose_parameters(
    notebooks: Sequence[Path], given: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return the values of `-p NAME VALUE`, read as papermill does: int, float, bool, None, text.

    Where the default is text, the value is text; where it is a list, the value is a list. Raise
    `UsageError` for a name that no notebook declares and for a value of another type.
    """
    declared: Mapping[str, Parameter] = {
        parameter.name: parameter
        for notebook in notebooks
        for parameter in read_parameters(notebook)
    }
    chosen = {}
    for name, text in given:
        if name not in declared:
            names = ", ".join(sorted(declared)) or "none"
            raise UsageError(f"-p {name}: no chosen notebook declares it; declared are {names}")
        chosen[name] = _parse_like(text, declared[name])
    return chosen


def _parse_like(text: str, parameter: Parameter) -> Any:
    example, value = literal(parameter.default), literal(text)
    if example == parameter.default:  # it is computed: any value will do
        return value
    if isinstance(example, str):
        return text
    if example is None or value is None:
        return value
    kinds = (int, float) if type(example) is float else (type(example),)
    if type(value) not in kinds:
        raise UsageError(
            f"-p {parameter.name} {text}: must be {type(example).__name__}, "
            f"as its default {parameter.default}"
        )
    return value


def literal(text: str) -> Any:
    """Return *text* as Python reads it; a tuple as a list, and as it is what Python cannot read."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return list(value) if isinstance(value, tuple) else value
