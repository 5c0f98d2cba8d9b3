"""Decide which database a command works on."""

import contextlib
import os
from collections.abc import Callable, Iterator

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.embedded import EmbeddedServer, start_temporary
from ticketsvc.database.kept import start_kept
from ticketsvc.errors import NoDatabase, UsageError
from ticketsvc.settings import DatabaseSettings

OLDEST_SERVER_VERSION = 150_000


def kept_database() -> contextlib.AbstractContextManager[str]:
    """Return the address of the database that commands share, whose contents last.

    That is `DATABASE_URL` when it is set. Otherwise it is the kept embedded server, started for
    as long as the block lasts if no other command runs it.
    """
    return _database(start_kept)


def fresh_database() -> contextlib.AbstractContextManager[str]:
    """Return a database for one run: `DATABASE_URL` when set, else an empty server of our own."""
    return _database(lambda of: start_temporary(binaries_folder=of.postgres_bin))


@contextlib.contextmanager
def _database(start: Callable[[DatabaseSettings], EmbeddedServer]) -> Iterator[str]:
    settings = DatabaseSettings.load()
    if settings.database_url is not None:
        yield check_server(settings.database_url.get_secret_value())
        return
    with start(settings) as server:
        yield server.url


def libpq_environment(conninfo: str) -> dict[str, str]:
    """Return the variables by which psql, and what else uses libpq, find the database."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    names |= {"dbname": "PGDATABASE", "target_session_attrs": "PGTARGETSESSIONATTRS"}
    parts = conninfo_to_dict(conninfo)
    return {names[key]: str(value) for key, value in parts.items() if key in names and value}


def check_server(conninfo: str) -> str:
    """Connect once, and return *conninfo*; from then on, `PGCLIENTENCODING` is ignored.

    Raise `UsageError` when the address cannot be read or the database stores no Unicode, and
    `NoDatabase` when the server cannot be reached or is too old; none shows the password.
    """
    os.environ.pop("PGCLIENTENCODING", None)  # in another encoding than its own, text is lost
    try:
        parameters = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        raise UsageError(
            "this is not a PostgreSQL address: "
            "it looks like postgresql://user:password@host:5432/database"
        ) from None
    if "@" in str(parameters.get("host") or ""):
        raise UsageError("the database's address has an @ in its user or password: write it as %40")
    try:
        with psycopg.connect(
            make_conninfo(conninfo, connect_timeout=str(parameters.get("connect_timeout") or 5))
        ) as connection:
            version = connection.info.server_version
            encoding = connection.info.parameter_status("server_encoding")
    except psycopg.OperationalError as problem:
        raise NoDatabase(f"the database cannot be reached: {_reason(problem)}") from None
    if version < OLDEST_SERVER_VERSION:
        raise NoDatabase(
            f"PostgreSQL {version // 10_000} is too old: "
            f"{OLDEST_SERVER_VERSION // 10_000} or newer is needed"
        )
    if encoding == "SQL_ASCII":
        raise UsageError(
            "the database's encoding is SQL_ASCII, which stores bytes and not text: use a database "
            "made with ENCODING 'UTF8' TEMPLATE template0"
        )
    return conninfo


def _reason(problem: psycopg.OperationalError) -> str:
    """Return in one line why the host, or each of several, was not reached."""
    lines = str(problem).strip().splitlines()
    hosts = [line for line in lines if line.startswith("- host: ")]
    return "; ".join(line.rpartition("connection failed: ")[2] for line in hosts) or lines[0]
