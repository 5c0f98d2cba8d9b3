"""The embedded server whose data is kept between commands."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from ticketsvc.database.binaries import Binaries, find_binaries
from ticketsvc.database.embedded import (
    EmbeddedServer,
    ignore_libpq_environment,
    initialise,
    launch,
)
from ticketsvc.database.home import home
from ticketsvc.errors import NoDatabase
from ticketsvc.settings import DatabaseSettings

_STOPPING_TIMEOUT_S = 30  # for a server that is just shutting down, or recovering
_KEPT = "kept"  # a file beside the data: the server outlives the command that started it


def start_kept(settings: DatabaseSettings) -> EmbeddedServer:
    """Start the server whose data is kept in the home of *settings*, or return the one that runs.

    The data directory is made on first use. Of several commands that start it at once, one does,
    and the others find it running: their server has no `process`.
    """
    ignore_libpq_environment()
    place, binaries = _place(settings)
    deadline = time.monotonic() + _STOPPING_TIMEOUT_S
    with _one_at_a_time(place.parent):
        while (server := _find(place, binaries)) is None:
            stopping = _lock_file(place).exists()
            try:
                return _start(place, binaries)
            except NoDatabase:
                # A server whose command has ended may still be shutting down, or just have done so.
                if not (stopping or _lock_file(place).exists()) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        return server


def keep(server: EmbeddedServer) -> None:
    """Let *server* run until `stop_kept`, also one that another command is about to keep.

    Raise `NoDatabase` when it belongs to a command that goes on, and with which it will end.
    """
    mark = server.folder / _KEPT
    if server.process is not None:
        server.release()
        mark.touch()
    deadline = time.monotonic() + _STOPPING_TIMEOUT_S
    while not mark.exists():
        if time.monotonic() > deadline:
            raise NoDatabase(
                "PostgreSQL runs for another command and ends with it; "
                "run this again when that has ended"
            )
        time.sleep(0.1)


def find_kept(settings: DatabaseSettings) -> EmbeddedServer | None:
    """Return the running server whose data is in the home of *settings*, or None."""
    ignore_libpq_environment()
    return _find(*_place(settings))


def stop_kept(settings: DatabaseSettings) -> bool:
    """Stop the server whose data is in the home of *settings*; return whether there was one.

    Raise `NoDatabase` when it does not stop.
    """
    place, binaries = _place(settings)
    if not _lock_file(place).exists():
        return False
    stopped = subprocess.run(
        [binaries.program("pg_ctl"), "-D", str(place / "data"), "-m", "fast", "-w", "stop"],
        capture_output=True,
        check=False,
        cwd=place,
        **binaries.account.popen_arguments(),
    )
    if stopped.returncode and _lock_file(place).exists():
        said = stopped.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise NoDatabase(f"the server did not stop: {said[-1]}")
    return stopped.returncode == 0


def _place(settings: DatabaseSettings) -> tuple[Path, Binaries]:
    """Return the folder of the data, one for each version of PostgreSQL, and the programs."""
    folder = home(settings.home)
    binaries = find_binaries(settings.postgres_bin, folder)
    return folder / f"postgresql-{binaries.major}", binaries


def _lock_file(place: Path) -> Path:
    return place / "data" / "postmaster.pid"


def _start(place: Path, binaries: Binaries) -> EmbeddedServer:
    if not (place / "data" / "PG_VERSION").exists():
        for left_behind in place.parent.glob(f"{place.name}-*"):  # by a command that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
        try:
            binaries.account.own(unfinished)
            initialise(binaries, unfinished)
            unfinished.rename(place)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    password = (place / "password").read_text()
    # On the port it had, if that is free: services that run find it again.
    (place / _KEPT).unlink(missing_ok=True)
    server = launch(binaries, place, password, {}, port=_former_port(place))
    (place / "port").write_text(str(server.port))
    return server


def _find(place: Path, binaries: Binaries) -> EmbeddedServer | None:
    try:
        port = int(_lock_file(place).read_text().splitlines()[3])
        server = EmbeddedServer(place, port, (place / "password").read_text(), binaries)
        with psycopg.connect(make_conninfo(server.url, connect_timeout=5)):
            return server
    except (OSError, IndexError, ValueError, psycopg.OperationalError):
        return None


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock on *folder*; the system releases it when this process ends, however it ends."""
    with (folder / "starting").open("a") as lock:
        if os.name == "nt":
            import msvcrt  # noqa: PLC0415 - not elsewhere

            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _former_port(place: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        port = int((place / "port").read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        return port
    return None
