"""Start and stop real server processes."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ticketsvc.errors import UsageError

_STOP_PATIENCE_S = 40


@dataclass
class Service:
    """A server process of ours, by its address."""

    url: str
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def stop(self) -> None:
        """Ask it to finish what it accepted, and wait until it is gone."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()  # its lifeline: the same on every system
        try:
            self.process.wait(_STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_service(
    database_url: str,
    allocator: str,
    *,
    schema: str | None = None,
    port: int = 0,
    pool_size: int = 10,
    trace: Path | None = None,
) -> Service:
    """Start `ticketsvc serve` and wait until it takes requests.

    It ends when `stop` is called or when this process ends, in whatever way. Port 0: any free
    one. Raise `UsageError` with its last words when it does not start.
    """
    command = [sys.executable, "-m", "ticketsvc", "serve", "--json", "--end-with-input"]
    command += ["--allocator", allocator, "--port", str(port), "--pool-size", str(pool_size)]
    command += ["--no-access-log"]
    if schema:
        command += ["--schema", schema]
    if trace:
        command += ["--trace", str(trace)]
    # The address goes through the environment: arguments can be read by everyone.
    environment = {**os.environ, "DATABASE_URL": database_url}
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches us, and we stop it
        )
        assert process.stdout is not None  # noqa: S101 - for the type checker
        announced = process.stdout.readline()
        if announced:
            return Service(json.loads(announced)["url"], process)
        process.wait()
        words.seek(0)
        lines = words.read().decode(errors="replace").strip().splitlines()
        raise UsageError(f"the service did not start: {lines[-1] if lines else 'no reason given'}")


@contextlib.contextmanager
def running_services(
    database_url: str,
    allocator: str,
    *,
    schema: str | None = None,
    ports: Sequence[int] = (0,),
    pool_size: int = 10,
    trace: Path | None = None,
) -> Iterator[list[str]]:
    """Run one server process per port, and give their addresses.

    A wanted port that is taken is replaced by any free one.
    """
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                start_service(
                    database_url,
                    allocator,
                    schema=schema,
                    port=port if _is_free(port) else 0,
                    pool_size=pool_size,
                    trace=trace,
                )
            ).url
            for port in ports
        ]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
