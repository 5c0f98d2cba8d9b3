"""Read out of an executed notebook what the report says about it."""

import re
from typing import Any

from nbformat import NotebookNode

from ticketsvc.lab.notebook import ANSWER_MIME, CHART_METADATA, SVG_MIME, VERDICT_MIME
from ticketsvc.lab.report.results import Answer, Failure

_MESSAGE_LENGTH = 300


def find_title(notebook: NotebookNode) -> str | None:
    """Return the first heading as plain text."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^#+\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
            if heading:
                return re.sub(r"[`*]", "", heading[1])
    return None


def find_verdict(executed: NotebookNode) -> dict[str, Any] | None:
    """Return the last verdict that the notebook displayed."""
    shown = [output.get("data", {}) for output in reversed(outputs_of(executed))]
    return next((data[VERDICT_MIME] for data in shown if VERDICT_MIME in data), None)


def find_headline_charts(executed: NotebookNode) -> list[str]:
    """Return the charts that the index shows too, as SVG elements."""
    return [
        output.data[SVG_MIME]
        for output in outputs_of(executed)
        if output.get("metadata", {}).get(CHART_METADATA, {}).get("headline")
    ]


def find_answers(executed: NotebookNode) -> list[Answer]:
    """Return the answers that the index shows first, each with the anchor of its section."""
    answers, section = [], None
    for cell in executed.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            section = cell
        answers += [
            Answer(**output.data[ANSWER_MIME], anchor=f"cell-id={(section or cell).get('id', '')}")
            for output in cell.get("outputs", ())
            if ANSWER_MIME in output.get("data", {})
        ]
    return answers


def find_failure(
    executed: NotebookNode, problem: Exception | None, cell_timeout_s: int
) -> Failure | None:
    """Return where the notebook stopped and why, or None when it reached its end."""
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


def outputs_of(notebook: NotebookNode) -> list[NotebookNode]:
    """Return all outputs of all cells."""
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]
