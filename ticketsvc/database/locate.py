"""Decide which database a command works on."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.embedded import find_kept, home, start_kept, start_temporary
from ticketsvc.errors import NoDatabase, UsageError
from ticketsvc.settings import Settings

_PATIENCE_S = 5
OLDEST_SERVER_VERSION = 150_000


@contextlib.contextmanager
def kept_database(settings: Settings) -> Iterator[str]:
    """Return a database whose contents last from command to command.

    `DATABASE_URL` and nothing else when it is set; otherwise the embedded server that runs
    already (`ticketsvc db start`, or another command's), or our own for as long as this lasts.
    """
    if settings.database_url is not None:
        yield check_server(settings.database_url.get_secret_value())
        return
    folder = home(settings.home)
    running = find_kept(folder, binaries_folder=settings.postgres_bin)
    if running is not None:
        yield running.url
        return
    try:
        server = start_kept(folder, binaries_folder=settings.postgres_bin, lasting=False)
    except NoDatabase:
        # Another command may have been faster: two servers cannot share the data.
        other = _await_kept(folder, settings)
        if other is None:
            raise
        yield other
        return
    with server:
        yield server.url


def _await_kept(folder: Path, settings: Settings) -> str | None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        running = find_kept(folder, binaries_folder=settings.postgres_bin)
        if running is not None:
            return running.url
        time.sleep(0.1)
    return None


@contextlib.contextmanager
def fresh_database(settings: Settings) -> Iterator[str]:
    """Return a database for one run: `DATABASE_URL` when set, else an empty server of our own."""
    if settings.database_url is not None:
        yield check_server(settings.database_url.get_secret_value())
        return
    with start_temporary(binaries_folder=settings.postgres_bin) as server:
        yield server.url


def check_server(conninfo: str) -> str:
    """Connect once, and return *conninfo* back.

    Raise `UsageError` when it cannot be read and `NoDatabase` when the server cannot be
    reached or is too old; neither shows the password.
    """
    try:
        parameters = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        raise UsageError(
            "DATABASE_URL is not a PostgreSQL address: "
            "it looks like postgresql://user:password@host:5432/database"
        ) from None
    if "@" in str(parameters.get("host") or ""):
        raise UsageError("DATABASE_URL has an @ in its user or password: write it as %40")
    try:
        with psycopg.connect(
            make_conninfo(conninfo, connect_timeout=str(parameters.get("connect_timeout") or 5))
        ) as connection:
            version = connection.info.server_version
    except psycopg.OperationalError as problem:
        reason = str(problem).strip().splitlines()[0]
        raise NoDatabase(f"the database cannot be reached: {reason}") from None
    if version < OLDEST_SERVER_VERSION:
        raise NoDatabase(
            f"PostgreSQL {version // 10_000} is too old: "
            f"{OLDEST_SERVER_VERSION // 10_000} or newer is needed"
        )
    return conninfo
