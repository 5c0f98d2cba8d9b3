"""Start a scenario's service, and end it with all that it started."""

import asyncio
import contextlib
import io
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import IO

import aiohttp
from yarl import URL

from ticketsvc.errors import UsageError
from ticketsvc.lab.scenarios.filling import client_environment, fill_in, masked
from ticketsvc.lab.scenarios.spec import Scenario, Service

START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0
_LOOK_S = 0.02
_END_IS_SEEN_S = 0.5
_LAST_WORDS_BYTES = 4096
_NAMES_ERROR = re.compile(r"\w*(Error|Exception)\b")  # Node writes its version after the error


@dataclass(frozen=True)
class RunningService:
    """A service that answers at *url*."""

    url: str
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]
    password: str = ""
    """The database's, which is not shown."""

    async def epitaph(self) -> str:
        """Return how it ended, and its last words; "" when it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = await asyncio.to_thread(self.process.wait, _END_IS_SEEN_S)
            return f"the service has ended with code {code}: {self.last_words()}"
        return ""

    def last_words(self) -> str:
        """Return the last line it wrote that begins with an error's name, or else its last line."""
        self.output.seek(max(0, self.output.seek(0, io.SEEK_END) - _LAST_WORDS_BYTES))
        said = self.output.read().decode(errors="replace").strip().splitlines()
        errors = [line for line in said if _NAMES_ERROR.match(line)]
        last = next(iter(errors[-1:] or said[-1:]), "it said nothing")
        return masked(last.strip(), self.password)


@contextlib.asynccontextmanager
async def running_service(
    scenario: Scenario, words: Mapping[str, str]
) -> AsyncIterator[RunningService]:
    """Run the service with *words* filled in; yield it once it is ready.

    Raise `UsageError` with its last words when it does not start, or does not get ready in time.
    """
    service = scenario.service
    assert service  # noqa: S101 - only for scenarios that have one
    command = list(fill_in(service.command, words))
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - started before the loop has other work
                command,
                cwd=scenario.folder,
                # The database's variables lead to the proxy, whatever the caller's own say.
                env={
                    **os.environ,
                    **client_environment(words["database_url"]),
                    **fill_in(service.environment, words),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as problem:
            raise UsageError(
                f"{scenario.file}: service.command: {command[0]}: {problem.strerror}"
            ) from None
        try:
            url = fill_in(service.url, words)
            running = RunningService(url, process, output, words["password"])
            if not await _ready(process, service, url):
                code = process.poll()
                reason = (
                    f"ready: it was not ready after {START_TIMEOUT_S:g} s at {url}"
                    if code is None
                    else f"command: it ended with code {code} before it was ready"
                )
                raise UsageError(f"{scenario.file}: service.{reason}: {running.last_words()}")
            yield running
        finally:
            await asyncio.shield(asyncio.to_thread(_stop, process))


async def _ready(process: "subprocess.Popen[bytes]", service: Service, url: str) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    address = URL(url)
    timeout = aiohttp.ClientTimeout(total=START_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                if service.ready is None:
                    _, writer = await asyncio.open_connection(address.host, address.port)
                    writer.close()
                    return True
                async with session.get(address.with_path(service.ready)) as response:
                    if response.ok:
                        return True
            await asyncio.sleep(_LOOK_S)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the process and its children: asked first, killed if that does not help."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "nt":
                process.terminate()
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)
    if process.poll() is None:
        process.kill()
        process.wait()
