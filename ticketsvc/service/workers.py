"""Several server processes on one port, and the parent that starts and stops them."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ticketsvc.errors import UsageError, WorkerEnded
from ticketsvc.service.metrics import COUNTERS, OWN_FOLDER, counters_kept
from ticketsvc.service.server import cannot_listen
from ticketsvc.service.stopping import stop_requests
from ticketsvc.settings import Settings

_KILL_AFTER_S = 5  # after the time a worker has to finish what it accepted
_log = logging.getLogger("ticketsvc.service.workers")


async def supervise(
    options: Sequence[str],
    settings: Settings,
    conninfo: str,
    *,
    workers: int,
    announce: Callable[[str, list[int]], None],
    end_with_input: bool = False,
) -> None:
    """Run *workers* processes of `ticketsvc serve`, with *options*, until asked to stop.

    Each worker's standard input is a pipe from this process: when this process ends, however it
    ends, the pipe closes, and the workers finish what they accepted and end. *announce* is called
    with the address and the process ids once all workers accept requests. Their counters are kept
    in files of one temporary folder.

    Raise `UsageError` when the port is not available. Raise `WorkerEnded` when a worker ends
    unexpectedly: the others are stopped, and a service manager can start this command again.
    """
    stop = stop_requests(end_with_input=end_with_input)
    processes: list[Process] = []
    with (
        _reserved(settings) as port,
        counters_kept(Path(tempfile.mkdtemp(prefix=OWN_FOLDER))) as counters,
    ):
        command = [sys.executable, "-m", "ticketsvc", "serve", *options]
        command += ["--port", str(port), "--share-port", "--end-with-input", "--json"]
        # The database's address is passed in the environment: every user can read arguments.
        environment = {**os.environ, "DATABASE_URL": conninfo, COUNTERS: str(counters)}
        try:
            for _ in range(workers):
                processes.append(await _start(command, environment))
            addresses = asyncio.gather(*map(_announced, processes))
            asked = asyncio.create_task(stop.wait())
            either: set[asyncio.Future[Any]] = {addresses, asked}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if addresses.done():
                announce(addresses.result()[0], [process.pid for process in processes])
                await until_one_ends(processes, stop)
            addresses.cancel()
        finally:
            await _stop(processes, settings.shutdown_timeout_s + _KILL_AFTER_S)


async def _start(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches only the parent, which stops them
    )


async def _announced(process: Process) -> str:
    assert process.stdout  # noqa: S101 - for the type checker
    line = await process.stdout.readline()
    if not line:
        raise WorkerEnded("a worker did not start; its message is above")
    return str(json.loads(line)["url"])


async def until_one_ends(processes: Sequence[Process], stop: asyncio.Event) -> None:
    """Return when *stop* is set; raise `WorkerEnded` when a process ends before."""
    tasks = [asyncio.create_task(process.wait()) for process in processes]
    tasks.append(asyncio.create_task(stop.wait()))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    if not stop.is_set():  # the task that waits for it is done a turn of the loop later
        (process, *_) = [process for process in processes if process.returncode is not None]
        raise WorkerEnded(
            f"worker {process.pid} ended unexpectedly ({_how(process)}): the others were stopped"
        )


def _how(process: Process) -> str:
    code = process.returncode or 0
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


async def _stop(processes: Sequence[Process], timeout_s: float) -> None:
    """Ask all to stop; kill those that have not ended after *timeout_s*."""
    for process in processes:  # all before the first is waited for
        if process.stdin:
            process.stdin.close()
        # A worker that is still starting does not notice that, but ends by this.
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*(process.wait() for process in processes))
    for process in processes:
        if process.returncode is None:
            _log.warning("worker %d did not stop in time: killed", process.pid)
            process.kill()
            await process.wait()


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Hold the port that the workers will share, without listening on it.

    Refuse a port on which another program listens: it would get some of the purchases.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("--workers: on this system processes cannot share a port; use 1")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe, socket.socket(family) as holder:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            probe.close()
            holder.bind((settings.host, settings.port))
        except OSError as problem:
            raise cannot_listen(settings, problem) from None
        yield holder.getsockname()[1]
