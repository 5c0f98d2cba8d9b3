"""Execute a notebook with papermill, in a kernel of this very Python, so that it can be stopped."""

import asyncio
import contextlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_core.utils import ensure_event_loop
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from ticketsvc.lab.report.notebooks import read_notebook

_ERROR_MARKER_TAG = "papermill-error-cell-tag"
_STOP_TIMEOUT_S = 5
# What every notebook imports first: done before its first cell, while the page before is written.
# No name of it stays: a notebook that lacks an import fails here as it does in JupyterLab.
PRELOAD = "import ticketsvc.lab.charts, ticketsvc.lab.notebook; del ticketsvc"

# The page says what papermill logs, and a run that was stopped says nothing.
logging.getLogger("papermill").setLevel(logging.CRITICAL)


@dataclass
class Execution:
    """One notebook and its kernel; `run` it in a thread, so that no signal hits its event loop.

    The kernel inherits the environment of this process, and *environment*. *before_cells* is called
    when the kernel has started, *after_cells* when the last cell has ended and the kernel has
    nothing left to do but to end.
    """

    notebook: Path
    parameters: Mapping[str, Any]
    cell_timeout_s: int
    environment: Mapping[str, str]
    before_cells: Callable[[], object]
    after_cells: Callable[[], object]
    work: Path | None = None
    kernel: "_Kernel | None" = None
    begun: bool = False
    stopping: bool = False

    def run(self) -> tuple[NotebookNode, Exception | None]:
        """Run every cell; return the executed copy, and why it did not reach its end.

        The reason is None where a cell raised: the copy shows that. Raise `Stopped` after `stop`:
        how far an interrupted notebook came is no result.
        """
        with tempfile.TemporaryDirectory(prefix="ticketsvc-report-") as folder:
            copy = Path(folder) / "executed.ipynb"
            self.work = Path(folder) / "work"
            self.work.mkdir()
            problem = None
            try:
                with asyncio.Runner(loop_factory=ensure_event_loop) as runner:
                    runner.get_loop()  # Jupyter's own: made here, so that it is closed at the end
                    self._execute(copy)
            except PapermillExecutionError:
                pass  # the copy shows it
            except Exception as error:  # a timeout, a dead kernel: whatever it is, the page says it
                problem = error
            if self.stopping:
                raise Stopped
            executed = read_notebook(copy if copy.exists() else self.notebook)
        executed.cells = [
            cell
            for cell in executed.cells
            if _ERROR_MARKER_TAG not in cell.metadata.get("tags", ())
        ]
        return executed, problem

    def _execute(self, copy: Path) -> None:
        class Kernel(_Kernel):
            execution = self

        papermill.execute_notebook(
            _literally(self.notebook.resolve()),
            _literally(copy),
            parameters=dict(self.parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            execution_timeout=self.cell_timeout_s,
            kernel_manager_class=Kernel,
            on_cell_start=self._check,
        )

    def _check(self, **_: object) -> None:
        if not self.begun:
            self.before_cells()
            self.begun = True
        if self.stopping:
            raise Stopped

    def stop(self, *, kill: bool) -> None:
        """Interrupt the cell that runs, or *kill* the kernel; no further cell starts.

        A kernel that has run no cell yet has nothing to clean up: it is killed.
        """
        self.stopping = True
        kill = kill or not self.begun
        if self.kernel is not None and self.kernel.has_kernel:
            asyncio.run(self.kernel.provisioner.kill() if kill else self.kernel.interrupt_kernel())


def stop_all(executions: Sequence[Execution], ended: "Sequence[Future[Any]]") -> None:
    """Interrupt *executions*; those that do not end soon, again; then kill their kernels.

    *ended* are the futures of their threads.
    """
    for kill in (False, False, True):
        for execution in executions:
            with contextlib.suppress(Exception):  # its kernel ends meanwhile; the others go on
                execution.stop(kill=kill)
        if not wait(ended, _STOP_TIMEOUT_S).not_done:
            return


class Stopped(Exception):
    """The notebook was stopped: no further cell starts."""


class _Kernel(AsyncKernelManager):  # type: ignore[misc]
    """A kernel of this very Python, whatever kernels the user has installed."""

    execution: Execution

    @default("transport_encryption")
    def _encrypt_if_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            resource_dir="", **get_kernel_dict([f"--IPKernelApp.exec_lines={PRELOAD}"])
        )

    async def start_kernel(self, **options: Any) -> None:
        """Start it in a folder of its own; what it prints beside the notebook is dropped."""
        self.execution.kernel = self
        await super().start_kernel(
            **options,
            env={**os.environ, **self.execution.environment},
            cwd=str(self.execution.work),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if self.execution.stopping:  # since before it could be killed
            await self.shutdown_kernel(now=True)
            raise Stopped

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """End the kernel without an interrupt first, which an idle one reports as an error."""
        self.execution.after_cells()
        self.shutting_down = True
        self.stop_restarter()
        if now:
            await self.provisioner.kill()
        else:
            await self.request_shutdown(restart=restart)
        await self.finish_shutdown(restart=restart)
        await self.cleanup_resources(restart=restart)


def _literally(path: Path) -> str:
    """Write *path* so that papermill, which formats paths, takes it as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")
