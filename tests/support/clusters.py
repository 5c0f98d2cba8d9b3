"""A PostgreSQL server for tests, and databases that are cloned from a template."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ticketsvc.database.binaries import OLDEST_MAJOR
from ticketsvc.database.embedded import EmbeddedServer, start_temporary
from ticketsvc.database.schemas import ensure_schemas

TEMPLATE = "t_template"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "deadlock_timeout": "100ms",
}
CHEAP_LOGIN = {"scram_iterations": "1"}  # the default is 4096, a third of what a connection costs
MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's, where cloning a database is ten times as fast
MEMORY_NEEDED_BYTES = 4 * 2**30


@dataclass
class Cluster:
    """A server for tests, with a template database that has both schemas."""

    server: EmbeddedServer
    administration: psycopg.Connection
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, name: str) -> str:
        """Return the address of the database *name*."""
        return self.server.url.rpartition("/")[0] + "/" + name

    def administer(self, query: str, name: str) -> None:
        """Run *query* outside any test's database, with *name* in place of `{}`."""
        self.administration.execute(sql.SQL(query).format(sql.Identifier(name)))

    @contextmanager
    def clone(self, template: str = TEMPLATE) -> Iterator[str]:
        """Return the address of a fresh database, and drop it afterwards."""
        name = f"t_{next(self._numbers)}"
        self.administer(f"CREATE DATABASE {{}} STRATEGY file_copy TEMPLATE {template}", name)
        try:
            yield self.url(name)
        finally:
            self.administer("DROP DATABASE {} WITH (FORCE)", name)


@contextmanager
def start_cluster(binaries_folder: Path | None = None, **settings: str) -> Iterator[Cluster]:
    """Start a server, with *settings* too, and make its template; stop it when the block ends."""
    if binaries_folder is None:  # PostgreSQL 16 or newer has this setting
        settings = CHEAP_LOGIN | settings
    with (
        _start(binaries_folder, SETTINGS | settings) as server,
        psycopg.connect(server.url, autocommit=True) as administration,
    ):
        cluster = Cluster(server, administration)
        password = sql.Literal(administration.info.password)  # hashed again, as the settings say
        administration.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(password))
        cluster.administer("CREATE DATABASE {}", TEMPLATE)
        with psycopg.connect(cluster.url(TEMPLATE), autocommit=True) as connection:
            ensure_schemas(connection)
        yield cluster


def _start(binaries_folder: Path | None, settings: dict[str, str]) -> EmbeddedServer:
    """Start a server, its data in memory where there is plenty of it."""
    with pytest.MonkeyPatch.context() as patch:
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED_BYTES:
            patch.setattr(tempfile, "mkdtemp", partial(tempfile.mkdtemp, dir=MEMORY))
        return start_temporary(binaries_folder=binaries_folder, settings=settings)


def system_binaries() -> dict[str, Path]:
    """Return the folder of each PostgreSQL that the system has, by its major version."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    majors = {path.parent.name: path for path in folders if (path / "initdb").is_file()}
    return {
        name: path
        for name, path in sorted(majors.items())
        if name.isdigit() and int(name) >= OLDEST_MAJOR
    }


def databases_named(connection: psycopg.Connection, prefix: str) -> set[str]:
    """Return the names of the server's databases that start with *prefix*."""
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
    return {name for (name,) in connection.execute(query, [prefix])}


@contextmanager
def login(
    connection: psycopg.Connection, database: str, name: str, options: str = ""
) -> Iterator[str]:
    """Return the address of *database* for a new role, which is dropped when the block ends."""
    connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p' {options}")
    try:
        yield make_conninfo(database, user=name, password="p")
    finally:
        connection.execute(f"RESET ROLE; DROP OWNED BY {name}; DROP ROLE {name}")
