"""PgBouncer between a service and its database."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support.programs import configuration, find_program, require_program
from tests.support.waiting import TIMEOUT_S, eventually
from ticketsvc.database.binaries import server_account
from ticketsvc.database.embedded import free_port


@contextlib.contextmanager
def start_bouncer(database: str, sessions: int) -> Iterator[str]:
    """Run PgBouncer with the configuration of docs/deploy.md, and *sessions* to the database.

    Return the address of *database*, a URL with a password, through it.
    """
    program = require_program("pgbouncer")
    folder, account, port = Path(tempfile.mkdtemp(prefix="t-")), server_account(), free_port()
    to = conninfo_to_dict(database)
    changes = {
        "port=5432": f"port={to['port']}",
        "listen_port = 6432": f"listen_port = {port}",
        "/etc/pgbouncer/": f"{folder}/",
        "default_pool_size = 20": f"default_pool_size = {sessions}",
    }
    (folder / "pgbouncer.ini").write_text(configuration("pgbouncer.ini", changes))
    (folder / "userlist.txt").write_text(f'"{to["user"]}" "{to["password"]}"\n')
    account.own(folder)  # it does not run as root
    with (folder / "log").open("wb") as log:
        command = [program, str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, stderr=log, **account.popen_arguments())
    pooled = psycopg.conninfo.make_conninfo(database, port=port)
    try:
        eventually(lambda: process.poll() is not None or _accepts(pooled))
        assert process.poll() is None, (folder / "log").read_text()
        yield pooled
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        shutil.rmtree(folder)


def keeps_prepared_statements() -> bool:
    """Tell whether this PgBouncer (1.21 or newer) prepares statements again in each session."""
    if (program := find_program("pgbouncer")) is None:
        return False
    command = [program, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    major, minor = said.split()[1].split(".")[:2]
    return (int(major), int(minor)) >= (1, 21)


def _accepts(address: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(address).close()
        return True
    return False
