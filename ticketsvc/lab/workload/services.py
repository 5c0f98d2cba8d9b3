"""Start and stop real server processes."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from ticketsvc.database.roles import as_service
from ticketsvc.errors import UsageError

_STOP_S = 40


@dataclass
class Service:
    """A server process of ours; `url` is its address once it is ready."""

    process: "subprocess.Popen[bytes]" = field(repr=False)
    errors: IO[bytes] = field(repr=False)
    url: str = ""

    def await_ready(self) -> str:
        """Wait until it takes requests, and return its address.

        Raise `UsageError` with its last error line when it does not start.
        """
        assert self.process.stdout  # noqa: S101 - for the type checker
        announced = self.process.stdout.readline()
        if not announced:
            self.process.wait()
            reason = self._last_error()
            self.stop()
            raise UsageError(f"the service did not start: {reason}")
        self.url = json.loads(announced)["url"]
        return self.url

    def ask_to_stop(self) -> None:
        """Close its standard input: it finishes what it accepted and ends, on every system."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def stop(self) -> None:
        """Ask it to stop, and wait until it is gone."""
        self.ask_to_stop()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.errors.close()

    def _last_error(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no reason given"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def spawn_service(
    database_url: str,
    allocator: str,
    *,
    schema: str | None = None,
    port: int = 0,
    pool_size: int = 10,
    workers: int = 1,
    trace: Path | None = None,
    access_log: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Service:
    """Start `ticketsvc serve`; call `await_ready` before it is used."""
    command = [sys.executable, "-m", "ticketsvc", "serve", "--json", "--end-with-input"]
    command += ["--allocator", allocator, "--port", str(port), "--pool-size", str(pool_size)]
    command += ["--access-log" if access_log else "--no-access-log"]
    if workers > 1:
        command += ["--workers", str(workers)]
    if schema:
        command += ["--schema", schema]
    if trace:
        command += ["--trace", str(trace)]
    # The address goes through the environment: arguments can be read by everyone.
    return spawn(command, {**(environment or {}), "DATABASE_URL": as_service(database_url)})


def spawn(command: Sequence[str], environment: Mapping[str, str]) -> Service:
    """Start a process that announces its address and ends with its standard input."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the service closes it
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **environment},
        start_new_session=True,  # Ctrl-C reaches us, and we stop it
    )
    return Service(process, errors)


def start_service(database_url: str, allocator: str, **options: Any) -> Service:
    """Start `ticketsvc serve` and wait until it takes requests; *options*: of `spawn_service`.

    *database_url* is the owner's: the service gets the login that only sells and reads.

    It ends when `stop` is called or when this process ends, in whatever way. Port 0: any free
    one. Raise `UsageError` with its last error line when it does not start.
    """
    service = spawn_service(database_url, allocator, **options)
    service.await_ready()
    return service


@contextlib.contextmanager
def running_each(
    database_url: str, wanted: Sequence[tuple[str, Mapping[str, Any]]]
) -> Iterator[list[str]]:
    """Run a server process of each allocator, with its options of `spawn_service`.

    Return their addresses. They start and stop side by side. A wanted port that is taken is
    replaced by any free one.
    """
    with contextlib.ExitStack() as stack:
        services: list[Service] = []
        given: set[int] = set()
        for allocator, options in wanted:
            port = options.get("port", 0)
            chosen = {**options, "port": port if port not in given and _is_free(port) else 0}
            given.add(port)
            services.append(stack.enter_context(spawn_service(database_url, allocator, **chosen)))
        try:
            yield [service.await_ready() for service in services]
        finally:
            for service in services:  # all of them first: they stop side by side
                service.ask_to_stop()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
