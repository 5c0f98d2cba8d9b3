"""Run the notebooks, and turn each into a page.

One runs at a time, and two where both say that they share the machine. The page of a notebook is
written while the kernel of the next one starts.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from ticketsvc.errors import UsageError
from ticketsvc.interrupts import postponed
from ticketsvc.lab.report.executed import (
    find_answers,
    find_failure,
    find_headline_charts,
    find_title,
    find_verdict,
)
from ticketsvc.lab.report.execution import Execution, stop_all
from ticketsvc.lab.report.notebooks import read_parameters, shares_machine
from ticketsvc.lab.report.pages import write_page
from ticketsvc.lab.report.redaction import current_passwords, redact
from ticketsvc.lab.report.results import Failure, NotebookResult, Parameter
from ticketsvc.lab.report.templating import write_at_once

CELL_TIMEOUT_S = 300


def run_notebooks(
    notebooks: Sequence[Path],
    parameters: Mapping[str, Any],
    reports: Path,
    runs: Path,
    *,
    second_database: str | None = None,
    on_start: Callable[[Path], None] = lambda _: None,
    on_end: Callable[[NotebookResult], None] = lambda _: None,
    cell_timeout_s: int = CELL_TIMEOUT_S,
) -> list[NotebookResult]:
    """Execute *notebooks* in this order; pages go to *reports*, executed copies to *runs*.

    Each notebook gets those of *parameters* that it declares, and the environment of this process.
    With *second_database*, two that share the machine run at the same time, one of them there.
    One that fails becomes a page too, and the next one runs. No file holds the database's password.
    A signal to this process interrupts the running cells, waits until they have cleaned up, and
    ends the kernels. An interrupted notebook leaves its earlier page and copy as they were.
    """
    databases: list[Mapping[str, str]] = [{}]
    if second_database is not None:
        databases.append({"DATABASE_URL": second_database})
    plan = _Plan(parameters, reports, runs, cell_timeout_s, [one.stem for one in notebooks])
    waiting = [_Job(one, len(databases) > 1 and shares_machine(one), plan) for one in notebooks]
    working: list[_Job] = []
    results = []
    runs.mkdir(parents=True, exist_ok=True)
    changed = threading.Event()
    with ThreadPoolExecutor(len(notebooks) or 1) as threads:
        try:
            while waiting or working:
                running = [job for job in working if job.needs_machine]
                if waiting and waiting[0].may_run_beside(running):
                    on_start(waiting[0].notebook)
                    free = [
                        one for one in databases if one not in [job.database for job in running]
                    ]
                    with postponed():
                        waiting[0].start(threads, free[0], [job.ended for job in working], changed)
                        working.append(waiting.pop(0))
                    continue
                changed.wait()
                changed.clear()
                for job in [job for job in working if job.ended.done()]:
                    working.remove(job)
                    results.append(job.ended.result())
                    on_end(results[-1])
        except BaseException:
            stop_all([job.execution for job in working], [job.ended for job in working])
            raise
    return sorted(results, key=lambda result: result.name)


@dataclass(frozen=True)
class _Plan:
    """What all notebooks of a run have in common."""

    parameters: Mapping[str, Any]
    reports: Path
    runs: Path
    cell_timeout_s: int
    names: Sequence[str]


class _Job:
    """A notebook of a run. Its thread executes it, then writes its page."""

    execution: Execution
    ended: "Future[NotebookResult]"
    database: Mapping[str, str]

    def __init__(self, notebook: Path, shares: bool, plan: _Plan) -> None:
        self.notebook, self.shares, self._plan = notebook, shares, plan
        self.needs_machine = True
        self._declared = read_parameters(notebook)

    def may_run_beside(self, running: "Sequence[_Job]") -> bool:
        """Tell whether it may start while *running* need the machine."""
        return not running or (len(running) == 1 and self.shares and running[0].shares)

    def start(
        self,
        threads: ThreadPoolExecutor,
        database: Mapping[str, str],
        earlier: "Sequence[Future[NotebookResult]]",
        changed: threading.Event,
    ) -> None:
        """Start its thread, which sets *changed* when the cells and when the page are done.

        If it does not share the machine, its cells wait for the pages of *earlier* notebooks.
        """
        names = {parameter.name for parameter in self._declared}
        chosen = {name: value for name, value in self._plan.parameters.items() if name in names}

        def begin_cells() -> None:
            if not self.shares:
                wait(earlier)
            self._began_s = time.monotonic()

        def leave_machine() -> None:
            self.needs_machine = False
            changed.set()

        self.database = database
        self.execution = Execution(
            self.notebook,
            chosen,
            self._plan.cell_timeout_s,
            environment=database,
            before_cells=begin_cells,
            after_cells=leave_machine,
        )
        self.ended = threads.submit(self._work)
        self.ended.add_done_callback(lambda _: leave_machine())

    def _work(self) -> NotebookResult:
        """Execute it, and write copy and page; where one cannot be written, that is a failure."""
        self._began_s = time.monotonic()  # of a kernel that never starts
        executed, problem = self.execution.run()
        duration_s = time.monotonic() - self._began_s
        plan, notebook, passwords = self._plan, self.notebook, current_passwords()
        executed.metadata.setdefault("papermill", NotebookNode()).update(
            input_path=notebook.name, output_path=notebook.name
        )
        failure = find_failure(executed, problem, plan.cell_timeout_s)
        executed = redact(executed, passwords)
        result = NotebookResult(
            name=notebook.stem,
            title=find_title(executed) or notebook.stem,
            duration_s=round(duration_s, 3),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            parameters=redact(self.execution.parameters, passwords),
            verdict=find_verdict(executed),
            failure=failure and Failure(**redact(vars(failure), passwords)),
            charts=find_headline_charts(executed),
            answers=find_answers(executed),
        )
        shown = [Parameter(**redact(vars(parameter), passwords)) for parameter in self._declared]
        try:
            write_at_once(plan.runs / notebook.name, nbformat.writes(executed).encode())
            write_page(
                executed, result, shown, plan.reports, pictures_from=notebook.parent, run=plan.names
            )
        except UsageError as unwritable:
            return replace(result, failure=Failure("its page", "", str(unwritable)))
        return result
