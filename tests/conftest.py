"""What every test may ask for: a database, a connection, a service, a client, a command line."""

import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.support")
# Without bytecode each of the hundreds of processes that tests start compiles the package again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What is imported here lives to the end: to look through it for garbage all the time costs a sixth
# of the processor's work. See `pytest_collection_finish` too.
gc.set_threshold(100_000, 20, 20)
# What nbformat imports reads a grammar of addresses, for seconds, if it is there; nobody asks it.
sys.modules["rfc3987_syntax"] = None

import aiohttp  # noqa: E402
import hypothesis  # noqa: E402
import psycopg  # noqa: E402

from tests.support import waiting  # noqa: E402
from tests.support.clusters import Cluster, start_cluster, system_binaries  # noqa: E402
from tests.support.commands import run_command, run_command_here  # noqa: E402
from ticketsvc.lab.workload.services import Service, start_service  # noqa: E402

# Where this runs in the background, Ctrl-C is ignored, and what is started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Every failing example is found again, and no example has a deadline.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")

EMBEDDED = "embedded"


def pytest_collection_finish() -> None:
    gc.freeze()


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


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """The embedded PostgreSQL, one per worker. When there is none, tests fail."""
    with start_cluster() as cluster:
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


@pytest.fixture(scope="session", params=[EMBEDDED, *system_binaries()])
def every_server(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The embedded PostgreSQL, and each other version that this machine has."""
    if request.param == EMBEDDED:
        yield request.getfixturevalue("server")
    else:
        with start_cluster(system_binaries()[request.param]) as cluster:
            yield cluster


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Start server processes that end with the test."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(start_service(*args, **kwargs))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client; none of its sockets outlives the test, not even one in mid-upload."""
    sockets: list[socket.socket] = []

    def remembered(address: tuple[Any, ...]) -> socket.socket:
        sockets.append(socket.socket(*address[:3]))
        return sockets[-1]

    timeout = aiohttp.ClientTimeout(total=waiting.TIMEOUT_S)
    connector = aiohttp.TCPConnector(socket_factory=remembered)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session
    await waiting.soon(lambda: all(each.fileno() == -1 for each in sockets))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a short path that the server's user can enter, whichever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Any]:
    """Run the command line in a process of its own."""
    return partial(run_command, cwd=tmp_path)


@pytest.fixture
def cli_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command line in this process: quick, for what is refused before any work."""
    monkeypatch.chdir(tmp_path)
    return partial(run_command_here, monkeypatch)
