"""Run the notebooks, one after the other, and turn each into a page."""

import ast
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.translators import PythonTranslator
from traitlets import default

from ticketsvc.errors import UsageError
from ticketsvc.lab.notebook import CHART_METADATA, VERDICT_MIME
from ticketsvc.lab.report.pages import write_report
from ticketsvc.lab.report.redaction import current_passwords, redact
from ticketsvc.lab.report.results import Chart, Failure, NotebookResult, Parameter
from ticketsvc.settings import ROOT

NOTEBOOKS = ROOT / "notebooks"
CELL_TIMEOUT_S = 300
_MARKER_TAG = "papermill-error-cell-tag"
_MESSAGE_LENGTH = 300


def find_notebooks(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks in their order; *only*: those of these numbers or names.

    Raise `UsageError` when there are none, or none of a wanted one.
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


def read_parameters(notebook: Path) -> list[Parameter]:
    """List what the notebook's `parameters` cell declares; raise `UsageError` if unreadable."""
    for cell in _read(notebook).cells:
        if "parameters" in cell.metadata.get("tags", ()):
            return [
                Parameter(found.name, found.default, found.help)
                for found in PythonTranslator.inspect(cell)
            ]
    return []


def choose_parameters(
    notebooks: Sequence[Path], given: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Read `-p NAME VALUE` as papermill does: int, float, True, False, None, else text.

    A default that is text keeps the value text, and one that is a list takes a list. Raise
    `UsageError` for a name that no notebook declares and for a value of another type.
    """
    declared = {
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


def run_notebooks(
    notebooks: Sequence[Path],
    parameters: Mapping[str, Any],
    reports: Path,
    runs: Path,
    *,
    on_start: Callable[[Path], None] = lambda _: None,
    on_end: Callable[[NotebookResult], None] = lambda _: None,
    cell_timeout_s: int = CELL_TIMEOUT_S,
) -> list[NotebookResult]:
    """Execute *notebooks*; pages go to *reports*, executed copies to *runs*.

    Each gets those of *parameters* that it declares, and a kernel of this very Python with
    this process's environment. One that fails becomes a page too, and the next one runs. No
    password of the database's reaches a file.
    """
    results = []
    for notebook in notebooks:
        on_start(notebook)
        result = _run(notebook, parameters, reports, runs, cell_timeout_s)
        results.append(result)
        on_end(result)
    return results


class _OwnKernel(AsyncKernelManager):  # type: ignore[misc]
    """A kernel of this very Python, whatever kernels the user has installed."""

    @default("transport_encryption")
    def _encrypt_if_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir="", **get_kernel_dict())


def _run(
    notebook: Path, parameters: Mapping[str, Any], reports: Path, runs: Path, cell_timeout_s: int
) -> NotebookResult:
    passwords = current_passwords()
    declared = read_parameters(notebook)
    names = {parameter.name for parameter in declared}
    chosen = {name: value for name, value in parameters.items() if name in names}
    problem = None
    began = time.monotonic()
    # The copy grows in a folder of our own: only what is redacted gets out of it.
    with tempfile.TemporaryDirectory(prefix="ticketsvc-report-") as folder:
        copy = Path(folder) / "executed.ipynb"
        elsewhere = Path(folder) / "work"
        elsewhere.mkdir()
        try:
            papermill.execute_notebook(
                _literally(notebook.resolve()),
                _literally(copy),
                parameters=chosen,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=elsewhere,
                execution_timeout=cell_timeout_s,
                kernel_manager_class=_OwnKernel,
            )
        except PapermillExecutionError:
            pass  # it stands in the copy
        except Exception as error:  # a timeout, a dead kernel: whatever it is, the page says it
            problem = error
        duration_s = time.monotonic() - began
        executed = _read(copy if copy.exists() else notebook)
    executed.cells = [
        cell for cell in executed.cells if _MARKER_TAG not in cell.metadata.get("tags", ())
    ]
    executed.metadata.setdefault("papermill", NotebookNode()).update(
        input_path=notebook.name, output_path=notebook.name
    )
    failure = _failure(executed, problem, cell_timeout_s)
    executed = redact(executed, passwords)
    runs.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed, runs / notebook.name)
    result = NotebookResult(
        name=notebook.stem,
        title=_title(executed) or notebook.stem,
        duration_s=round(duration_s, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters=redact(chosen, passwords),
        verdict=_verdict(executed),
        failure=failure and Failure(**redact(vars(failure), passwords)),
        charts=_headline_charts(executed),
    )
    shown = [Parameter(**redact(vars(parameter), passwords)) for parameter in declared]
    write_report(executed, result, shown, reports, pictures_from=notebook.parent)
    return result


def _read(notebook: Path) -> NotebookNode:
    try:
        return nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise UsageError(f"notebook {notebook.name} cannot be read: {reason}") from None


def _literally(path: Path) -> str:
    """Write *path* so that papermill, which formats paths, takes it as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _parse_like(text: str, parameter: Parameter) -> Any:
    try:
        example = ast.literal_eval(parameter.default)
    except (ValueError, SyntaxError):
        return _parse(text)
    if isinstance(example, str):
        return text
    value = _parse(text)
    if isinstance(example, list | tuple):
        try:
            value = list(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError):
            value = None
    elif example is None or value is None:
        return value
    kinds: dict[type, tuple[type, ...]] = {float: (int, float), list: (list,), tuple: (list,)}
    if type(value) not in kinds.get(type(example), (type(example),)):
        raise UsageError(
            f"-p {parameter.name} {text}: must be {type(example).__name__}, "
            f"as its default {parameter.default}"
        )
    return value


def _parse(text: str) -> Any:
    if text in ("True", "False", "None"):
        return ast.literal_eval(text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _failure(
    executed: NotebookNode, problem: Exception | None, cell_timeout_s: int
) -> Failure | None:
    record = executed.metadata.get("papermill", {})
    if problem is None and not record.get("exception"):
        return None
    started = [
        cell for cell in executed.cells if cell.metadata.get("papermill", {}).get("start_time")
    ]
    if not started:
        return Failure("before its first cell", "", _one_line(problem))
    last = started[-1]
    errors = [output for output in last.get("outputs", ()) if output.output_type == "error"]
    if isinstance(problem, TimeoutError):
        message = f"it was still running after {cell_timeout_s} seconds"
    elif errors:
        message = _one_line(f"{errors[-1].ename}: {errors[-1].evalue}")
    else:
        message = _one_line(problem or "it raised an error that left no trace")
    number = last.get("execution_count")
    first_line = last.source.strip().partition("\n")[0]
    place = f"cell {f'[{number}]' if number else executed.cells.index(last) + 1}"
    return Failure(f"{place}: {first_line}", f"cell-id={last.get('id', '')}", message)


def _one_line(words: object) -> str:
    """Put a message on one line, without colours, and not too long."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", f"{words}")
    if isinstance(words, Exception):
        plain = f"{type(words).__name__}: {plain}"
    line = " ".join(plain.split())
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 1] + "…"


def _title(notebook: NotebookNode) -> str | None:
    """Return the first heading as plain text."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^#+\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
            if heading:
                return re.sub(r"[`*]", "", heading[1])
    return None


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def _verdict(executed: NotebookNode) -> dict[str, Any] | None:
    verdicts = [
        output.data[VERDICT_MIME]
        for output in _outputs(executed)
        if VERDICT_MIME in output.get("data", {})
    ]
    return verdicts[-1] if verdicts else None


def _headline_charts(executed: NotebookNode) -> list[Chart]:
    charts = []
    for output in _outputs(executed):
        metadata = output.get("metadata", {})
        picture = output.get("data", {}).get("image/png")
        if picture and metadata.get(CHART_METADATA, {}).get("headline"):
            alt = metadata.get("image/png", {}).get("alt") or "Chart without a description"
            charts.append(Chart(alt, f"data:image/png;base64,{''.join(picture.split())}"))
    return charts
