"""Execute a notebook with papermill, in a kernel of this very Python, so that it can be stopped."""

import asyncio
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
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


def execute(
    notebook: Path, parameters: Mapping[str, Any], cell_timeout_s: int
) -> tuple[NotebookNode, Exception | None]:
    """Run every cell of *notebook*; return the executed copy, and why it did not reach its end.

    The reason is None where a cell raised: the copy shows that. The kernel inherits the environment
    of this process. A signal to this process interrupts the running cell, waits until it has
    cleaned up, and ends the kernel.
    """
    with tempfile.TemporaryDirectory(prefix="ticketsvc-report-") as folder:
        copy = Path(folder) / "executed.ipynb"
        work = Path(folder) / "work"
        work.mkdir()
        execution = _Execution(work)
        problem = None
        try:
            execution.run(
                _literally(notebook.resolve()),
                _literally(copy),
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                execution_timeout=cell_timeout_s,
            )
        except PapermillExecutionError:
            pass  # the copy shows it
        except Exception as error:  # a timeout, a dead kernel: whatever it is, the page says it
            problem = error
        executed = read_notebook(copy if copy.exists() else notebook)
    executed.cells = [
        cell for cell in executed.cells if _ERROR_MARKER_TAG not in cell.metadata.get("tags", ())
    ]
    return executed, problem


class _Stopped(Exception):
    """No further cell is to start."""


class _Execution:
    """One run of papermill, in a thread, so that a signal does not hit its event loop."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.kernel: _Kernel | None = None
        self._stopping = threading.Event()

    def run(self, *paths: str, **options: Any) -> None:
        """Call papermill with *paths* and *options*; raise what it raises."""

        class Kernel(_Kernel):
            execution = self

        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(
                _in_own_loop,
                papermill.execute_notebook,
                *paths,
                kernel_manager_class=Kernel,
                on_cell_start=self._check,
                **options,
            )
            try:
                ended.result()
            finally:
                if not ended.done():
                    self._stop(ended)

    def _check(self, **_: object) -> None:
        if self._stopping.is_set():
            raise _Stopped

    def _stop(self, ended: "Future[Any]") -> None:
        """Interrupt the cell; when it does not end soon, again; then kill the kernel."""
        self._stopping.set()
        for attempt in ("interrupt", "interrupt", "kill"):
            if self.kernel is not None and self.kernel.has_kernel:
                asyncio.run(
                    self.kernel.interrupt_kernel()
                    if attempt == "interrupt"
                    else self.kernel.provisioner.kill()
                )
            wait([ended], _STOP_TIMEOUT_S)
            if ended.done():
                return


def _in_own_loop(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of Jupyter, which runs its coroutines in the thread's event loop."""
    with asyncio.Runner(loop_factory=ensure_event_loop) as runner:
        runner.get_loop()  # made here, so that it is cleaned up and closed at the end
        return function(*arguments, **options)


class _Kernel(AsyncKernelManager):  # type: ignore[misc]
    """A kernel of this very Python, whatever kernels the user has installed."""

    execution: _Execution

    @default("transport_encryption")
    def _encrypt_if_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir="", **get_kernel_dict())

    async def start_kernel(self, **options: Any) -> None:
        """Start it in a folder of its own; what it prints beside the notebook is dropped."""
        self.execution.kernel = self
        await super().start_kernel(
            **options,
            cwd=str(self.execution.work),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """End the kernel without an interrupt first, which an idle one reports as an error."""
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
