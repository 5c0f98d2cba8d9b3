"""Start and stop a PostgreSQL server of our own.

A server ends with the process that started it, however that ends (see `supervisor`), unless it
was released. It listens on 127.0.0.1 only, on a free port.
"""

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
from typing import Self

import psycopg
from psycopg.pq import Conninfo

from ticketsvc.database import supervisor
from ticketsvc.database.binaries import Binaries, find_binaries
from ticketsvc.database.home import home
from ticketsvc.database.statements import load
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
    binaries: Binaries = field(repr=False)
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    temporary: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    released: bool = field(default=False, repr=False)

    @property
    def url(self) -> str:
        """The database's address, password included: connect with it, never show it."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def postmaster(self) -> int:
        """The process id of the server itself: the parent of all its processes."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def release(self) -> None:
        """Let the server outlive this process; `stop` does nothing any more."""
        if self.process is not None and self.process.stdin:
            self.process.stdin.write(supervisor.RELEASE)
            self.process.stdin.close()
            self.released = True

    def start(self) -> None:
        """Start the server on its data, and return when it accepts connections."""
        settings = {
            **_DURABLE_SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # the path of a socket may be too long
            **self.settings,
        }
        command = [self.binaries.program("postgres"), "-D", str(self.folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.process = _supervise(self.binaries, self.folder, command, remove=self.temporary)
        _await_ready(self)

    def stop(self) -> None:
        """Shut the server down and wait until it has ended, if this process started it."""
        if self.process is None or self.released:
            return
        _end(self.process)
        self.process = None
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_temporary(
    *, binaries_folder: Path | None = None, settings: Mapping[str, str] | None = None
) -> EmbeddedServer:
    """Start a new, empty server whose data is deleted when it stops.

    *settings* are PostgreSQL's own (`fsync`: `off` and so on); they override the durable
    defaults. Raise `NoDatabase` with the reason when it does not start.
    """
    ignore_libpq_environment()
    binaries = find_binaries(binaries_folder, home(None))
    folder = Path(tempfile.mkdtemp(prefix="ticketsvc-pg-"))
    binaries.account.own(folder)
    try:
        password = initialise(binaries, folder)
        return launch(binaries, folder, password, settings or {}, temporary=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def start_again(server: EmbeddedServer) -> None:
    """Start a temporary *server* that ended by itself or crashed, with its data and its port.

    It recovers what was committed and flushed. Raise `NoDatabase` when it does not start.
    """
    if server.process is not None:
        server.process.wait(_START_TIMEOUT_S)
        if server.process.stdin:
            server.process.stdin.close()
    server.start()


def initialise(binaries: Binaries, folder: Path) -> str:
    """Make a data directory in *folder* and return the password of its superuser."""
    password = secrets.token_urlsafe(18)
    password_file = write_private(folder / "password", password, binaries)
    locale = ["--no-locale"]
    if binaries.major >= 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    run_program(
        binaries,
        folder,
        "initdb",
        *("-D", str(folder / "data")),
        *("-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(password_file)),
        *("-E", "UTF8", "--no-sync", "--no-instructions"),
        *locale,
    )
    return password


def write_private(file: Path, text: str, binaries: Binaries) -> Path:
    """Write *text* to *file*, which only the server's user can read then; return *file*."""
    file.touch(mode=0o600)
    file.write_text(text)
    binaries.account.own(file)
    return file


def run_program(binaries: Binaries, folder: Path, name: str, *arguments: str) -> None:
    """Run a program of PostgreSQL that fills *folder*; raise `NoDatabase` when it fails.

    When this process ends meanwhile, the program ends too, and *folder* is removed.
    """
    process = _supervise(binaries, folder, [binaries.program(name), *arguments], remove=True)
    try:
        code = process.wait()
    finally:
        _end(process)
    if code:
        reason = _last_line(_log(folder))
        if reason.endswith("Permission denied"):
            reason += "; the user that runs the server must be able to enter the folder"
        raise NoDatabase(f"{name} failed: {reason}")


def launch(
    binaries: Binaries,
    folder: Path,
    password: str,
    settings: Mapping[str, str],
    *,
    port: int | None = None,
    temporary: bool = False,
) -> EmbeddedServer:
    """Start the server whose data is in *folder*; return when it accepts connections."""
    server = EmbeddedServer(
        folder, port or free_port(), password, binaries, temporary=temporary, settings=settings
    )
    for attempts_left in reversed(range(_START_ATTEMPTS)):
        try:
            server.start()
            break
        except BaseException as problem:
            # Somebody may have taken the port since it was chosen: that alone deserves a retry.
            taken = isinstance(problem, NoDatabase) and "Address already in use" in _log(folder)
            if not (taken and attempts_left):
                server.stop()
                raise
        _end(server.process)
        server.port = free_port()
    return server


def _supervise(
    binaries: Binaries, folder: Path, command: list[str], *, remove: bool
) -> "subprocess.Popen[bytes]":
    """Run *command* under a supervisor; with *remove*, an early end removes *folder*."""
    specification = {
        "command": command,
        "pg_ctl": [binaries.program("pg_ctl"), "-D", str(folder / "data")],
        "account": binaries.account.popen_arguments(),
        "folder": str(folder),
        "remove": remove,
    }
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", str(supervisor.__file__), json.dumps(specification)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process alone
        )


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None and process.stdin:
        process.stdin.close()
        process.wait()


def _await_ready(server: EmbeddedServer) -> None:
    administration = server.url.removesuffix(DATABASE) + "postgres"
    make, find = load("administration", database=DATABASE), load("administration")
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        if server.process is not None and server.process.poll() is not None:
            raise NoDatabase(f"PostgreSQL did not start: {_last_line(_log(server.folder))}")
        try:
            with psycopg.connect(administration, autocommit=True, connect_timeout=5) as connection:
                query = find["find_database"].query
                if connection.execute(query, {"name": DATABASE}).fetchone() is None:
                    connection.execute(make["create_database"].query)
            return
        except psycopg.OperationalError as problem:
            if time.monotonic() > deadline:
                raise NoDatabase(f"PostgreSQL does not answer: {problem}") from None
            time.sleep(0.02)


def ignore_libpq_environment() -> None:
    """Remove libpq's variables (`PGHOST`, `PGOPTIONS`, …) from this process's environment.

    They describe somebody else's server; connections to our own would be misled by them.
    """
    names = {option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    for name in names | {"PGDATESTYLE", "PGGEQO", "PGTZ"}:
        os.environ.pop(name, None)


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
