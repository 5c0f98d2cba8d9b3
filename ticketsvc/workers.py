"""Several server processes on one port, and the parent that starts and ends them."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Mapping, Sequence

from ticketsvc.errors import UsageError, WorkerEnded
from ticketsvc.settings import Settings
from ticketsvc.stopping import stop_requests


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

    Each hangs on a lifeline, its standard input: when this process ends, in whatever way, they
    finish what they accepted and end. *announce* is called with the address and their process
    ids once all take requests. Their counters meet in files of a temporary folder.

    Raise `UsageError` when the port cannot be had, `WorkerEnded` when a worker ends unasked:
    the others are stopped then, for whoever watches over this process to start it anew.
    """
    stop = stop_requests(end_with_input=end_with_input)
    processes: list[Process] = []
    with _reserved(settings) as port, _counters() as environment:
        command = [sys.executable, "-m", "ticketsvc", "serve", *options]
        command += ["--port", str(port), "--share-port", "--end-with-input", "--json"]
        # The database's address goes through the environment: arguments can be read by everyone.
        environment |= {**os.environ, "DATABASE_URL": conninfo}
        try:
            for _ in range(workers):
                processes.append(await _start(command, environment))
            answers = await asyncio.gather(*(_announced(process) for process in processes))
            announce(answers[0], [process.pid for process in processes])
            await _until_one_ends(processes, stop)
        finally:
            await _stop(processes)


async def _start(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the parent, and that stops them
    )


async def _announced(process: Process) -> str:
    assert process.stdout  # noqa: S101 - for the type checker
    line = await process.stdout.readline()
    if not line:
        raise WorkerEnded("a worker did not start; what it said stands above")
    return str(json.loads(line)["url"])


async def _until_one_ends(processes: Sequence[Process], stop: asyncio.Event) -> None:
    ends = {asyncio.create_task(process.wait()): process for process in processes}
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({asked, *ends}, return_when=asyncio.FIRST_COMPLETED)
    for task in (asked, *ends):
        task.cancel()
    if not stop.is_set():
        (process, *_) = [process for process in processes if process.returncode is not None]
        raise WorkerEnded(
            f"worker {process.pid} ended by itself ({_how(process)}): the others were stopped"
        )


def _how(process: Process) -> str:
    code = process.returncode or 0
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


async def _stop(processes: Sequence[Process]) -> None:
    for process in processes:  # all of them first: they stop side by side
        if process.stdin:
            process.stdin.close()
    await asyncio.gather(*(process.wait() for process in processes))


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Hold the port that the workers will share, without listening on it.

    A port that somebody listens on is refused: sharing with a stranger would lose purchases.
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
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port}: {problem.strerror}; "
                f"choose another with --port, or --port 0 for any free one"
            ) from None
        yield holder.getsockname()[1]


@contextlib.contextmanager
def _counters() -> Iterator[dict[str, str]]:
    """Give the variable that lets the workers count together (prometheus-client reads it)."""
    folder = tempfile.mkdtemp(prefix="ticketsvc-metrics-")
    try:
        yield {"PROMETHEUS_MULTIPROC_DIR": folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
