"""Start and stop a PostgreSQL server of our own.

A server lives as long as the process that started it and not a moment longer (see
`supervisor`), unless it was asked to last. It listens on 127.0.0.1 only, on a free port.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import make_conninfo

from ticketsvc.database import supervisor
from ticketsvc.database.binaries import Binaries, find_binaries
from ticketsvc.errors import NoDatabase

DATABASE = "tickets"
_START_TIMEOUT_S = 60
_START_ATTEMPTS = 3
_DURABLE_SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "max_connections": "300",
    "max_wal_size": "4GB",  # no checkpoint in the middle of a measurement
    "checkpoint_timeout": "30min",
    "jit": "off",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


@dataclass
class EmbeddedServer:
    """A running server; `url` leads to its database *tickets*."""

    folder: Path
    port: int
    password: str = field(repr=False)
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    temporary: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """The database's address, password included: for connecting, never for showing."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def postmaster(self) -> int:
        """The process id of the server itself: the parent of all its processes."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """Shut the server down and wait until it is gone; twice does no harm."""
        if self.process is None:
            return
        if self.process.stdin:
            self.process.stdin.close()
        else:
            self.process.terminate()
        self.process.wait()
        self.process = None
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_temporary(
    *, binaries_folder: Path | None = None, settings: Mapping[str, str] | None = None
) -> EmbeddedServer:
    """Start a new, empty server whose data goes when it stops.

    *settings* are PostgreSQL's own (`fsync`: `off` and so on), over the durable defaults.
    Raise `NoDatabase` with the reason when it does not start.
    """
    binaries = find_binaries(binaries_folder, home(None))
    folder = Path(tempfile.mkdtemp(prefix="ticketsvc-pg-"))
    binaries.account.own(folder)
    try:
        password = _initialise(binaries, folder)
        return _launch(binaries, folder, password, settings or {}, temporary=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def start_again(server: EmbeddedServer, *, binaries_folder: Path | None = None) -> None:
    """Start a temporary *server* that has ended by itself, or crashed, where it was before.

    It recovers what was committed and flushed. Raise `NoDatabase` when it does not start.
    """
    if server.process is not None:
        server.process.wait(_START_TIMEOUT_S)
        if server.process.stdin:
            server.process.stdin.close()
    again = _spawn(
        find_binaries(binaries_folder, home(None)),
        server.folder,
        server.password,
        server.settings,
        port=server.port,
        temporary=server.temporary,
        lasting=False,
    )
    server.process = again.process
    _await_ready(server)


def start_kept(folder: Path, *, binaries_folder: Path | None, lasting: bool) -> EmbeddedServer:
    """Start the server whose data is kept in *folder*, made on first use.

    *lasting*: it goes on after this process, until `stop_kept`.
    """
    binaries = find_binaries(binaries_folder, folder)
    place = _place(folder, binaries)
    if not (place / "data" / "PG_VERSION").exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=folder))
        binaries.account.own(unfinished)
        _initialise(binaries, unfinished)
        try:
            unfinished.rename(place)
        except OSError:  # another command was faster; theirs is as good
            shutil.rmtree(unfinished)
    password = (place / "password").read_text()
    # Where it was before, if nobody else is there: services that run find it again.
    server = _launch(binaries, place, password, {}, port=_port_before(place), lasting=lasting)
    (place / "port").write_text(str(server.port))
    return server


def find_kept(folder: Path, *, binaries_folder: Path | None) -> EmbeddedServer | None:
    """Find the running server whose data is in *folder*, or None."""
    place = _place(folder, find_binaries(binaries_folder, folder))
    try:
        lines = (place / "data" / "postmaster.pid").read_text().splitlines()
        server = EmbeddedServer(place, int(lines[3]), (place / "password").read_text())
        with psycopg.connect(make_conninfo(server.url, connect_timeout=5)):
            return server
    except (OSError, IndexError, ValueError, psycopg.OperationalError):
        return None


def stop_kept(folder: Path, *, binaries_folder: Path | None) -> bool:
    """Stop the server whose data is in *folder*; tell whether there was one."""
    binaries = find_binaries(binaries_folder, folder)
    place = _place(folder, binaries)
    if not (place / "data" / "postmaster.pid").exists():
        return False
    stopped = subprocess.run(
        [binaries.program("pg_ctl"), "-D", str(place / "data"), "-m", "fast", "-w", "stop"],
        capture_output=True,
        check=False,
        cwd=place,
        **binaries.account.popen_arguments(),
    )
    return stopped.returncode == 0


def home(chosen: Path | None) -> Path:
    """Return the folder that outlives a command: *chosen*, or one of this user's own in /tmp.

    In the temporary folder, because a server that root starts runs as another user, who
    cannot enter a private home. Raise `NoDatabase` when somebody else owns it.
    """
    if chosen is not None:
        ours = not chosen.exists()
        chosen.mkdir(parents=True, exist_ok=True)
        if ours:
            chosen.chmod(0o755)
        return chosen.resolve()
    owner = os.environ.get("USERNAME", "user") if os.name == "nt" else str(os.geteuid())
    folder = Path(tempfile.gettempdir()) / f"ticketsvc-{owner}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if os.name != "nt" and folder.lstat().st_uid != os.geteuid():
        raise NoDatabase(f"{folder} belongs to another user: set TICKETSVC_HOME to another folder")
    if os.name != "nt":
        folder.chmod(0o755)  # whatever the umask: the server's user has to enter
    return folder.resolve()


def _port_before(place: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        port = int((place / "port").read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        return port
    return None


def _place(folder: Path, binaries: Binaries) -> Path:
    return folder / f"postgresql-{binaries.major}"


def _initialise(binaries: Binaries, folder: Path) -> str:
    password = secrets.token_urlsafe(18)
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    binaries.account.own(password_file)
    locale = ["--no-locale"]
    if binaries.major >= 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    made = subprocess.run(
        [
            binaries.program("initdb"),
            *("-D", str(folder / "data")),
            *("-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(password_file)),
            *("-E", "UTF8", "--no-sync", "--no-instructions"),
            *locale,
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=folder,
        **binaries.account.popen_arguments(),
    )
    if made.returncode:
        raise NoDatabase(f"initdb failed: {_last_line(made.stderr)}")
    return password


def _launch(
    binaries: Binaries,
    folder: Path,
    password: str,
    settings: Mapping[str, str],
    *,
    port: int | None = None,
    temporary: bool = False,
    lasting: bool = False,
) -> EmbeddedServer:
    attempts = _START_ATTEMPTS
    while True:
        server = _spawn(
            binaries,
            folder,
            password,
            settings,
            port=port or free_port(),
            temporary=temporary,
            lasting=lasting,
        )
        try:
            _await_ready(server)
        except NoDatabase as problem:
            attempts -= 1
            # A port taken between choosing and listening is the one fault worth another try.
            if attempts == 0 or "Address already in use" not in _log(folder):
                server.stop()
                raise problem
            port = None
        except BaseException:
            server.stop()
            raise
        else:
            return server


def _spawn(
    binaries: Binaries,
    folder: Path,
    password: str,
    settings: Mapping[str, str],
    *,
    port: int,
    temporary: bool,
    lasting: bool,
) -> EmbeddedServer:
    chosen = {
        **_DURABLE_SETTINGS,
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "" if os.name == "nt" else str(folder),
        **settings,
    }
    data = str(folder / "data")
    command = [binaries.program("postgres"), "-D", data]
    for name, value in chosen.items():
        command += ["-c", f"{name}={value}"]
    specification = {
        "command": command,
        "pg_ctl": [binaries.program("pg_ctl"), "-D", data],
        "account": binaries.account.popen_arguments(),
        "folder": str(folder),
        "lifeline": not lasting,
        "remove": temporary,
    }
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", str(supervisor.__file__), json.dumps(specification)],
            stdin=subprocess.DEVNULL if lasting else subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in the terminal reaches the parent, not the server
        )
    return EmbeddedServer(folder, port, password, process, temporary, settings)


def _await_ready(server: EmbeddedServer) -> None:
    administration = server.url.removesuffix(DATABASE) + "postgres"
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        if server.process is not None and server.process.poll() is not None:
            raise NoDatabase(f"PostgreSQL did not start: {_last_line(_log(server.folder))}")
        try:
            with psycopg.connect(administration, autocommit=True, connect_timeout=5) as connection:
                known = connection.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            return
        except psycopg.OperationalError as problem:
            if time.monotonic() > deadline:
                raise NoDatabase(f"PostgreSQL does not answer: {problem}") from None
            time.sleep(0.02)


def _log(folder: Path) -> str:
    try:
        return (folder / "log").read_text(errors="replace")
    except OSError:
        return ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
