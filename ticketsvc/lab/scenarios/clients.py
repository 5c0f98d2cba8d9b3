"""Run a scenario's clients: a request, a script for psql, a Python function, any command."""

import asyncio
import contextlib
import importlib.util
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import aiohttp

from ticketsvc.database.embedded import free_port
from ticketsvc.errors import UsageError
from ticketsvc.lab.scenarios.filling import (
    client_environment,
    database_words,
    fill_in,
    masked,
    server_of,
    through,
)
from ticketsvc.lab.scenarios.psql import find_psql
from ticketsvc.lab.scenarios.service import RunningService, running_service
from ticketsvc.lab.scenarios.spec import Client, Scenario
from ticketsvc.lab.wire.gate import Gate
from ticketsvc.lab.wire.proxy import open_proxy

Ending = Literal["success", "refused", "failed", "unknown"]
"""success: as the scenario says. refused: answered otherwise. failed: an error that a user sees.
unknown: no answer, so it may have happened, or not."""

CLIENT_TIMEOUT_S = 60.0
_MESSAGE_LENGTH = 200
_ERROR = re.compile(r"\b(error|fatal|panic):", re.IGNORECASE)


@dataclass(frozen=True)
class ClientResult:
    """How one client ended, what it was told, and the numbers that it was sold."""

    ending: Ending
    message: str = ""
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Actor:
    """One client that acts: which of its kind (*n*, from 1), and what it is called."""

    client: Client
    n: int

    @property
    def name(self) -> str:
        """Its name, with its number where there are several."""
        return self.client.name if self.client.count == 1 else f"{self.client.name} {self.n}"


def actors_of(scenario: Scenario) -> list[Actor]:
    """Return every client of *scenario*, in the order of the file."""
    return [Actor(client, n + 1) for client in scenario.client for n in range(client.count)]


@dataclass(frozen=True)
class Runner:
    """Runs the clients of one scenario; requests go to *service*.

    *words*: of each actor, what it has for what the scenario leaves open.
    """

    scenario: Scenario
    functions: Mapping[str, Callable[..., Any]]
    http: aiohttp.ClientSession
    service: RunningService | None
    words: Sequence[Mapping[str, str]]
    processes: set[asyncio.subprocess.Process] = field(default_factory=set)

    async def run(self, number: int) -> ClientResult:
        """Let this one of the actors act; return how it ended."""
        actor, words = actors_of(self.scenario)[number], self.words[number]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLIENT_TIMEOUT_S) as limit:
                result = await self._run(actor, words)
        if limit.expired():
            result = ClientResult("unknown", f"it did not end in {CLIENT_TIMEOUT_S:g} s")
        return replace(result, message=masked(result.message, words["password"]))

    async def _run(self, actor: Actor, words: Mapping[str, str]) -> ClientResult:
        client = actor.client
        filled = {**words, "n": str(actor.n)}
        if client.request is not None:
            return await self._request(client, filled)
        if client.python is not None:
            return await self._call(client.python, words["database_url"], actor.n)
        if client.sql is not None:
            script = self.scenario.sql_of(client.sql)
            command = [find_psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"n={actor.n}"]
            return await self._process(command, words["database_url"], script)
        command = list(fill_in(client.command or (), filled))
        return await self._process(command, words["database_url"])

    def end(self) -> None:
        """Kill what is still running."""
        for process in self.processes:
            _kill(process)

    async def _request(self, client: Client, words: Mapping[str, str]) -> ClientResult:
        asked = client.request
        assert asked  # noqa: S101 - for the type checker
        assert self.service  # noqa: S101 - who has requests has a service
        url = self.service.url.rstrip("/") + fill_in(asked.path, words)
        body = None if asked.json_ is None else json.dumps(fill_in(asked.json_, words))
        headers = fill_in(asked.headers, words)
        if body is not None and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        try:
            async with self.http.request(
                asked.method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                text = await response.text(errors="replace")
        except aiohttp.ClientError as problem:
            return ClientResult("unknown", await self.service.epitaph() or _one_line(problem))
        try:
            return judge_answer(client, response.status, text)
        except UsageError as problem:
            raise UsageError(f"{self.scenario.file}: {problem}") from None

    async def _call(self, name: str, url: str, n: int) -> ClientResult:
        function = self.functions[name]
        raised: BaseException | None = None
        try:
            if inspect.iscoroutinefunction(function):
                await function(url, n)
            else:
                raised = await _in_own_thread(function, url, n)
        except Exception as problem:  # whatever a foreign function raises is how it ended
            raised = problem
        return ClientResult("failed", _one_line(raised)) if raised else ClientResult("success")

    async def _process(self, command: list[str], url: str, told: str = "") -> ClientResult:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.PIPE if told else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.scenario.folder,
                env={**os.environ, **client_environment(url)},
                start_new_session=True,
            )
        except OSError as problem:
            raise UsageError(
                f"{self.scenario.file}: {command[0]} cannot be started: {problem.strerror}"
            ) from None
        self.processes.add(process)
        try:
            said, complained = await process.communicate(told.encode() or None)
        finally:
            _kill(process)
            self.processes.discard(process)
        lines = (complained or said).decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if _ERROR.search(line)] if process.returncode else []
        message = " ".join([*errors, *lines[-1:]][:1])[:_MESSAGE_LENGTH]
        return ClientResult("failed" if process.returncode else "success", message)


def judge_answer(client: Client, status: int, text: str) -> ClientResult:
    """Return how a request ended that was answered with *status* and *text*."""
    wanted = client.success or range(200, 300)
    message = f"{status} {' '.join(text.split())}"[:_MESSAGE_LENGTH]
    if status not in wanted:
        return ClientResult("failed" if status >= 500 else "refused", message)
    if client.numbers is None:
        return ClientResult("success", message)
    numbers = numbers_in(text, client.numbers)
    if numbers is None:
        raise UsageError(
            f"client {client.name}: numbers {client.numbers!r}: the answer has no such list: "
            f"{message}"
        )
    return ClientResult("success", message, numbers)


def numbers_in(text: str, path: str) -> tuple[str, ...] | None:
    """Return the numbers at a dotted *path* of a JSON answer, as text; None: there are none."""
    try:
        value = json.loads(text)
        for part in path.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
    except (ValueError, LookupError, TypeError):
        return None
    if isinstance(value, list):
        return tuple(map(str, value))
    return None if isinstance(value, dict | bool | None) else (str(value),)


@contextlib.asynccontextmanager
async def open_runner(scenario: Scenario, url: str, gate: Gate) -> AsyncIterator[Runner]:
    """Start the service and make a runner, all of whose connections to *url* pass *gate*.

    What they have started ends with them.
    """
    # What cannot be imported is said before anything starts.
    names = [client.python for client in scenario.client if client.python]
    functions = {name: _function(scenario, name) for name in names}
    server, service_port = server_of(url), str(free_port())
    async with contextlib.AsyncExitStack() as stack:

        async def behind_proxy(owner: int | None) -> dict[str, str]:
            port = await stack.enter_async_context(open_proxy(*server, gate, owner))
            return {**database_words(through(url, port)), "port": service_port}

        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        service = None
        if scenario.service is not None:
            starting = running_service(scenario, await behind_proxy(None))
            service = await stack.enter_async_context(starting)
        words = [await behind_proxy(number) for number in range(len(actors_of(scenario)))]
        runner = Runner(scenario, functions, session, service, words)
        stack.callback(runner.end)
        yield runner


def _function(scenario: Scenario, name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    file = scenario.folder / Path(*module_name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UsageError(f"{scenario.file}: python {name!r}: there is no {file.name}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(scenario.folder))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        raise UsageError(f"{scenario.file}: python {name!r}: {_one_line(problem)}") from None
    finally:
        sys.path.remove(str(scenario.folder))
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"{scenario.file}: python {name!r}: no function {function_name}")
    found: Callable[..., Any] = function
    return found


async def _in_own_thread(function: Callable[..., Any], *arguments: object) -> BaseException | None:
    """Call *function* in a thread that nobody else waits for, as it may never end.

    Return what it raised.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[BaseException | None] = loop.create_future()

    def tell(raised: BaseException | None) -> None:
        if not ended.done():
            ended.set_result(raised)

    def call() -> None:
        raised: BaseException | None = None
        try:
            function(*arguments)
        except BaseException as problem:  # sys.exit, too
            raised = problem
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, raised)

    threading.Thread(target=call, daemon=True).start()
    return await ended


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill *process*, and those that it has started and left behind."""
    with contextlib.suppress(ProcessLookupError):
        if os.name != "nt":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()


def _one_line(problem: BaseException) -> str:
    words = str(problem).strip().splitlines()
    return (
        f"{type(problem).__name__}: {words[0]}"[:_MESSAGE_LENGTH]
        if words
        else type(problem).__name__
    )
