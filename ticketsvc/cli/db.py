"""`db`: the embedded server, and the database that other commands share."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from ticketsvc.cli.root import as_json_option, ticketsvc
from ticketsvc.errors import NoDatabase, UsageError
from ticketsvc.settings import DatabaseSettings


@contextlib.contextmanager
def connected(
    database_url: str | None = None, *, prepare: bool = True, recreate: bool = False
) -> Iterator[Any]:
    """Connect to *database_url*, or to the database that commands share."""
    import psycopg

    from ticketsvc.database.locate import check_server, kept_database

    with contextlib.ExitStack() as stack:
        if database_url:
            conninfo = check_server(database_url)
        else:
            conninfo = stack.enter_context(kept_database())
        if prepare:
            prepare_schemas(conninfo, recreate=recreate)
        yield stack.enter_context(psycopg.connect(conninfo, autocommit=True))


def prepare_schemas(conninfo: str, *, recreate: bool = False) -> None:
    """Create the schemas that are missing; with *recreate*, drop and create both."""
    import psycopg

    from ticketsvc.database.schemas import ensure_schemas

    with psycopg.connect(conninfo, autocommit=True) as connection:
        ensure_schemas(connection, recreate=recreate)


@ticketsvc.group()
def db() -> None:
    """Start, stop and open the embedded PostgreSQL server."""


@db.command()
@as_json_option
def start(as_json: bool) -> None:
    """Start the embedded server; it runs until `db stop`."""
    from ticketsvc.database.kept import keep, start_kept

    settings = _without_database_url("db start")
    with start_kept(settings) as server:
        was_running = server.process is None
        prepare_schemas(server.url)
        keep(server)
    facts = {"running": True, "was_running": was_running, "port": server.port}
    if as_json:
        print(json.dumps(facts))
    else:
        already = " already" if was_running else ""
        print(
            f"PostgreSQL runs{already} on 127.0.0.1:{server.port}; "
            "`python3 run.py db url` prints its address"
        )


@db.command()
@as_json_option
def stop(as_json: bool) -> None:
    """Stop the embedded server."""
    from ticketsvc.database.kept import stop_kept

    stopped = stop_kept(_without_database_url("db stop"))
    if as_json:
        print(json.dumps({"stopped": stopped}))
    else:
        print("PostgreSQL is stopped" if stopped else "PostgreSQL was not running")


@db.command()
@as_json_option
def url(as_json: bool) -> None:
    """Print the database's address, password included."""
    address = _running_url()
    print(json.dumps({"url": address}) if as_json else address)


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database."""
    from ticketsvc.database.locate import libpq_environment
    from ticketsvc.lab.scenarios.psql import find_psql

    environment = {**os.environ, **libpq_environment(_running_url())}
    heed_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it cancels a query of psql's
    try:
        ended = subprocess.run(
            [find_psql(), *arguments],
            env=environment,
            check=False,
            preexec_fn=None if os.name == "nt" else heed_interrupts,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    raise click.exceptions.Exit(ended.returncode)


def _running_url() -> str:
    from ticketsvc.database.kept import find_kept
    from ticketsvc.database.locate import check_server

    settings = DatabaseSettings.load()
    if settings.database_url is not None:
        return check_server(settings.database_url.get_secret_value())
    server = find_kept(settings)
    if server is None:
        raise NoDatabase("the embedded server is not running: `python3 run.py db start` starts it")
    return server.url


def _without_database_url(command: str) -> DatabaseSettings:
    settings = DatabaseSettings.load()
    if settings.database_url is not None:
        raise UsageError(
            f"{command} is about the embedded server: unset DATABASE_URL, which names another"
        )
    return settings
