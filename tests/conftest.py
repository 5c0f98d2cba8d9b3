"""A real PostgreSQL per worker, a clone of a template database per test, real processes."""

import asyncio
import contextlib
import inspect
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import psycopg
import pytest
from psycopg import sql

from ticketsvc.database.binaries import OLDEST_MAJOR
from ticketsvc.database.embedded import EmbeddedServer, start_temporary
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.lab.workload.services import Service, start_service

# Where this runs in the background, Ctrl-C is ignored, and what is started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE_S = 60  # a deadline for what must happen, never a measure of how fast
TEMPLATE = "t_template"
EMBEDDED = "embedded"
SERVER_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "deadlock_timeout": "100ms",
}
MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's, where cloning a database is ten times as fast
MEMORY_NEEDED_BYTES = 4 * 2**30

# Every case is found again, and no run is slower for a deadline missed on a busy machine.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


def _system_majors() -> list[str]:
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    majors = [path.parent.name for path in folders if (path / "initdb").is_file()]
    return sorted(name for name in majors if name.isdigit() and int(name) >= OLDEST_MAJOR)


def _body(**changes: Any) -> bytes:
    whole = {"userId": "u", "eventId": "E", "quantity": 8, **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


# Every malformed body, and what the message has to name.
_MALFORMED = {
    "quantity negative": (_body(quantity=-8), "quantity"),
    "quantity zero": (_body(quantity=0), "quantity"),
    "quantity 7": (_body(quantity=7), "quantity"),
    "quantity 4": (_body(quantity=4), "quantity"),
    "quantity 8.0": (_body(quantity=8.0), "quantity"),
    "quantity 8e0": (_body(quantity=8).replace(b"8}", b"8e0}"), "quantity"),
    "quantity text": (_body(quantity="8"), "quantity"),
    "quantity list": (_body(quantity=[8]), "quantity"),
    "quantity object": (_body(quantity={"a": 8}), "quantity"),
    "quantity true": (_body(quantity=True), "quantity"),
    "quantity null": (_body(quantity=None), "quantity"),
    "quantity 10^12": (_body(quantity=10**12), "quantity"),
    "quantity of 4000 digits": (_body(quantity=8).replace(b"8}", b"8" * 4000 + b"}"), "quantity"),
    "quantity of 9000 digits": (_body(quantity=8).replace(b"8}", b"8" * 9000 + b"}"), "JSON"),
    "quantity 8008": (_body(quantity=8008), "quantity"),
    "quantity NaN": (_body(quantity=float("nan")), "quantity"),
    "quantity 1e400": (_body(quantity=8).replace(b"8}", b"1e400}"), "quantity"),
    "quantity missing": (_body(quantity=...), "quantity is missing"),
    "userId missing": (_body(userId=...), "userId is missing"),
    "eventId missing": (_body(eventId=...), "eventId is missing"),
    "userId by our own name": (_body(userId=..., user_id="u"), "userId is missing"),
    "userId of 10 kB": (_body(userId="u" * 10_000), "userId"),
    "eventId of 10 kB": (_body(eventId="E" * 10_000), "eventId"),
    "eventId of 51 characters": (_body(eventId="E" * 51), "eventId"),
    "userId empty": (_body(userId=""), "userId"),
    "eventId empty": (_body(eventId=""), "eventId"),
    "userId a number": (_body(userId=1), "userId"),
    "eventId a number": (_body(eventId=1), "eventId"),
    "eventId null": (_body(eventId=None), "eventId"),
    "userId with NUL": (_body(userId="a\0b"), "userId"),
    "eventId with NUL": (_body(eventId="E\0"), "eventId"),
    "eventId with a newline": (_body(eventId="E\n"), "eventId"),
    "userId half a character": (_body(userId="\ud800"), "JSON"),
    "broken JSON": (b'{"userId":', "JSON"),
    "two objects": (_body() + _body(), "JSON"),
    "not UTF-8": (b'{"userId":"\xff","eventId":"E","quantity":8}', "JSON"),
    "deeply nested": (b"[" * 60_000, "JSON"),
    "empty body": (b"", "JSON"),
    "null": (b"null", "JSON object"),
    "a list": (b"[]", "JSON object"),
    "a number": (b"8", "JSON object"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "malformed" in metafunc.fixturenames:
        metafunc.parametrize("malformed", _MALFORMED.values(), ids=_MALFORMED)


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> Iterator[None]:
    """Let nothing the developer has set reach a test, or the processes it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper() in ("DATABASE_URL", "PORT") or name.upper().startswith(
                ("TICKETSVC_", "PG")
            ):
                patch.delenv(name)
        yield


@dataclass
class Cluster:
    """A server for tests, with a template database that has both schemas."""

    server: EmbeddedServer
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, name: str) -> str:
        return self.server.url.rpartition("/")[0] + "/" + name

    def administer(self, query: str, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(query).format(sql.Identifier(name)))

    @contextlib.contextmanager
    def clone(self, template: str = TEMPLATE) -> Iterator[str]:
        """Return the address of a fresh database, and drop it afterwards."""
        name = f"t_{next(self._numbers)}"
        self.administer(f"CREATE DATABASE {{}} STRATEGY file_copy TEMPLATE {template}", name)
        try:
            yield self.url(name)
        finally:
            self.administer("DROP DATABASE {} WITH (FORCE)", name)


def _start(binaries_folder: Path | None) -> EmbeddedServer:
    """Start a server, its data in memory where there is plenty of it."""
    with pytest.MonkeyPatch.context() as patch:
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED_BYTES:
            patch.setattr(tempfile, "mkdtemp", partial(tempfile.mkdtemp, dir=MEMORY))
        return start_temporary(binaries_folder=binaries_folder, settings=SERVER_SETTINGS)


@contextlib.contextmanager
def _cluster(binaries_folder: Path | None) -> Iterator[Cluster]:
    with _start(binaries_folder) as server:
        cluster = Cluster(server)
        cluster.administer("CREATE DATABASE {}", TEMPLATE)
        with psycopg.connect(cluster.url(TEMPLATE), autocommit=True) as connection:
            ensure_schemas(connection)
        yield cluster


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """The embedded PostgreSQL, one per worker. When there is none, tests fail."""
    with _cluster(None) as cluster:
        yield cluster


@pytest.fixture
def database(server: Cluster) -> Iterator[str]:
    """The address of a fresh database with both schemas, empty."""
    with server.clone() as url:
        yield url


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A connection to `database` that commits every statement."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.fixture(scope="session", params=[EMBEDDED, *(_system_majors() or ["system"])])
def every_server(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The embedded PostgreSQL, and each other version that this machine has."""
    if request.param == EMBEDDED:
        yield request.getfixturevalue("server")
    elif request.param == "system":
        pytest.skip("no other PostgreSQL here: the embedded one alone is required")
    else:
        with _cluster(Path("/usr/lib/postgresql") / request.param / "bin") as cluster:
            yield cluster


@pytest.fixture
def any_database(every_server: Cluster) -> Iterator[str]:
    """As `database`, on each PostgreSQL."""
    with every_server.clone() as url:
        yield url


@pytest.fixture
def any_connection(any_database: str) -> Iterator[psycopg.Connection]:
    """As `connection`, on each PostgreSQL."""
    with psycopg.connect(any_database, autocommit=True) as opened:
        yield opened


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Start server processes that end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(start_service(*args, **kwargs))


@pytest.fixture
async def http(soon: Callable[..., Awaitable[Any]]) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client; none of its sockets outlives the test, not even one in mid-upload."""
    sockets: list[socket.socket] = []

    def remembered(address: tuple[Any, ...]) -> socket.socket:
        sockets.append(socket.socket(*address[:3]))
        return sockets[-1]

    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(socket_factory=remembered)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session
    await soon(lambda: all(each.fileno() == -1 for each in sockets))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a short path that the server's user can enter, whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the command line in a process of its own."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "ticketsvc", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env={**os.environ, **environment},
            timeout=2 * PATIENCE_S,
        )

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Ask until the answer is true; fail when it is not in the end."""

    def ask(question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := question()):
            if time.monotonic() > deadline:
                pytest.fail("it did not happen")
            time.sleep(0.01)
        return answer

    return ask


@pytest.fixture(scope="session")
def soon() -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    """As `eventually`, in a running loop; the question may be one to await."""

    async def ask(question: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = question()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(0.01)

    return ask
