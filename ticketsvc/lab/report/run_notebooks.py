"""Run the notebooks, one after the other, and turn each into a page."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from ticketsvc.lab.report.executed import (
    find_answers,
    find_failure,
    find_headline_charts,
    find_title,
    find_verdict,
)
from ticketsvc.lab.report.execution import execute
from ticketsvc.lab.report.notebooks import read_parameters
from ticketsvc.lab.report.pages import write_page
from ticketsvc.lab.report.redaction import current_passwords, redact
from ticketsvc.lab.report.results import Failure, NotebookResult, Parameter

CELL_TIMEOUT_S = 300


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

    Each notebook gets those of *parameters* that it declares, and the environment of this process.
    One that fails becomes a page too, and the next one runs. No file holds the database's password.
    """
    results = []
    run = [notebook.stem for notebook in notebooks]
    for notebook in notebooks:
        on_start(notebook)
        result = _run(notebook, parameters, reports, runs, cell_timeout_s, run=run)
        results.append(result)
        on_end(result)
    return results


def _run(
    notebook: Path,
    parameters: Mapping[str, Any],
    reports: Path,
    runs: Path,
    cell_timeout_s: int,
    *,
    run: Sequence[str],
) -> NotebookResult:
    passwords = current_passwords()
    declared = read_parameters(notebook)
    names = {parameter.name for parameter in declared}
    chosen = {name: value for name, value in parameters.items() if name in names}
    began = time.monotonic()
    executed, problem = execute(notebook, chosen, cell_timeout_s)
    duration_s = time.monotonic() - began
    executed.metadata.setdefault("papermill", NotebookNode()).update(
        input_path=notebook.name, output_path=notebook.name
    )
    failure = find_failure(executed, problem, cell_timeout_s)
    executed = redact(executed, passwords)
    runs.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed, runs / notebook.name)
    result = NotebookResult(
        name=notebook.stem,
        title=find_title(executed) or notebook.stem,
        duration_s=round(duration_s, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters=redact(chosen, passwords),
        verdict=find_verdict(executed),
        failure=failure and Failure(**redact(vars(failure), passwords)),
        charts=find_headline_charts(executed),
        answers=find_answers(executed),
    )
    shown = [Parameter(**redact(vars(parameter), passwords)) for parameter in declared]
    write_page(executed, result, shown, reports, pictures_from=notebook.parent, run=run)
    return result
