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
from ticketsvc.errors import NoDatabase

_STOPPING_TIMEOUT_S = 30  # for a server that is just shutting down, or recovering
_KEPT = "kept"  # a file beside the data: the server outlives the command that started it


def start_kept(folder: Path, *, binaries_folder: Path | None) -> EmbeddedServer:
    """Start the server whose data is kept in *folder*, or return the one that runs.

    The data directory is made on first use. Of several commands that start it at once, one does,
    and the others find it running: their server has no `process`.
    """
    ignore_libpq_environment()
    binaries = find_binaries(binaries_folder, folder)
    deadline = time.monotonic() + _STOPPING_TIMEOUT_S
    with _one_at_a_time(folder):
        while (server := _find(folder, binaries)) is None:
            lock = _lock_file(folder, binaries)
            stopping = lock.exists()
            try:
                return _start(folder, binaries)
            except NoDatabase:
                # A server whose command has ended may still be shutting down, or just have done so.
                if not (stopping or lock.exists()) or time.monotonic() > deadline:
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


def find_kept(folder: Path, *, binaries_folder: Path | None) -> EmbeddedServer | None:
    """Return the running server whose data is in *folder*, or None."""
    ignore_libpq_environment()
    return _find(folder, find_binaries(binaries_folder, folder))


def stop_kept(folder: Path, *, binaries_folder: Path | None) -> bool:
    """Stop the server whose data is in *folder*; return whether there was one.

    Raise `NoDatabase` when it does not stop.
    """
    binaries = find_binaries(binaries_folder, folder)
    if not _lock_file(folder, binaries).exists():
        return False
    place = _place(folder, binaries)
    stopped = subprocess.run(
        [binaries.program("pg_ctl"), "-D", str(place / "data"), "-m", "fast", "-w", "stop"],
        capture_output=True,
        check=False,
        cwd=place,
        **binaries.account.popen_arguments(),
    )
    if stopped.returncode and _lock_file(folder, binaries).exists():
        said = stopped.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise NoDatabase(f"the server did not stop: {said[-1]}")
    return stopped.returncode == 0


def _start(folder: Path, binaries: Binaries) -> EmbeddedServer:
    place = _place(folder, binaries)
    if not (place / "data" / "PG_VERSION").exists():
        for left_behind in folder.glob(f"{place.name}-*"):  # by a command that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=folder))
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


def _find(folder: Path, binaries: Binaries) -> EmbeddedServer | None:
    place = _place(folder, binaries)
    try:
        lines = (place / "data" / "postmaster.pid").read_text().splitlines()
        server = EmbeddedServer(place, int(lines[3]), (place / "password").read_text(), binaries)
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


def _place(folder: Path, binaries: Binaries) -> Path:
    return folder / f"postgresql-{binaries.major}"


def _lock_file(folder: Path, binaries: Binaries) -> Path:
    return _place(folder, binaries) / "data" / "postmaster.pid"
