"""A signal in the middle of any command: one line, exit 128 + its number, and nothing left.

A server that listens is another matter: it serves what it has accepted and exits with 0, see
tests/integration/service.
"""
# ruff: noqa: PLR0917 - fixtures arrive by name

import contextlib
import os
import signal

import psutil
import psycopg
import pytest

from tests.notebooks import samples
from tests.support.clusters import databases_named
from tests.support.commands import start_command
from tests.support.processes import family
from tests.support.scenarios import by_psql, by_python, by_service, write
from tests.support.waiting import TIMEOUT_S, eventually

# Each moment is a question to the command's process, its temporary folder and the database.


def child(word):
    """Ask whether a process that the command has started has *word* among its arguments."""

    def reached(process, folder, connection):
        with contextlib.suppress(psutil.Error):
            return any(word in " ".join(each.cmdline()) for each in family(process.pid)[1:])
        return False

    return reached


def entry(pattern):
    """Ask whether there is a file or folder of this name in the temporary folder."""
    return lambda process, folder, connection: any(folder.glob(pattern))


def scratch_database(process, folder, connection):
    """Ask whether the command has made a database of its own."""
    return databases_named(connection, "ticketsvc_")


def both_cells_run(process, folder, connection):
    """Ask whether both sample notebooks are in the middle of a cell."""
    return len(list(folder.glob("scenarios/*.runs"))) == 2


def kernel_starts(process, folder, connection):
    """Ask whether a kernel imports what it needs, and answers nobody yet."""
    return (folder / "scenarios" / "starts").exists()


def blocked(process, folder, connection):
    """Ask whether a session waits for a lock."""
    return connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall()


def running(statement):
    """Ask whether a client's session is in the middle of a schedule, or of this statement."""
    query = (
        "SELECT FROM pg_stat_activity WHERE query LIKE %s AND backend_type = 'client backend' "
        "AND datname LIKE 'ticketsvc%%'"
    )
    return lambda process, folder, connection: connection.execute(query, [statement]).fetchall()


CELL = "import pathlib, time; pathlib.Path({!r}).touch(); time.sleep(600)"
# `ticketsvc report` on the sample notebooks of the folder that it runs in. A kernel that runs for
# one of them alone takes long to start.
REPORT = """
import sys
from pathlib import Path
import ticketsvc.__main__, ticketsvc.cli
from ticketsvc.lab.report import execution, notebooks
ticketsvc.cli.report.ROOT = Path.cwd()
notebooks.NOTEBOOKS = Path("scenarios")
execution.PRELOAD = {!r} if "--only" in sys.argv else "pass"  # for speed
ticketsvc.__main__.main()
"""
# What is typed, whether DATABASE_URL is set, the moment, the signal: each command, each signal.
MOMENTS = [
    ("db start", False, entry("home/*"), "SIGINT"),
    ("seed", True, blocked, "SIGINT"),
    ("audit", True, blocked, "SIGTERM"),
    ("explore --buyers 3 --sample 1000", True, running("%INSERT INTO%"), "SIGHUP"),
    ("bench --seconds 60", True, scratch_database, "SIGTERM"),
    ("faults --times 99 --instances 1", False, child("serve"), "SIGTERM"),
    ("overload", False, child("serve"), "SIGINT"),
    ("report --output output", True, both_cells_run, "SIGTERM"),
    ("report --output output --only 01", True, kernel_starts, "SIGINT"),
    ("explore scenarios/silent.toml", True, child("service.py"), "SIGINT"),
    ("explore scenarios/python.toml", True, running("SELECT pg_sleep%"), "SIGINT"),
    ("stress scenarios/psql.toml", True, running("SELECT pg_sleep%"), "SIGTERM"),
    ("lab -- --no-browser", False, child("jupyterlab"), "SIGINT"),
]


@pytest.fixture
def locked(database):
    """Hold the pools of both schemas, so that a command which touches them waits."""
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE original.ticket_pools, fixed.ticket_pools")
        yield
        holder.rollback()


@pytest.fixture
def start(open_folder, database):
    """Start a command in a temporary folder of its own, and kill it after the test."""
    open_folder.chmod(0o777)
    home = open_folder / "home"
    scenarios = open_folder / "scenarios"
    scenarios.mkdir()
    write(scenarios, by_service("silent"), "silent.toml")
    write(scenarios, by_psql("SELECT pg_sleep(600)"), "psql.toml")
    write(scenarios, by_python("sleep"), "python.toml")
    for name in ("01-a", "02-b"):
        cell = CELL.format(str(scenarios / f"{name}.runs"))
        samples.write(scenarios, name, "Does it end?", cell, shares=True)
    with contextlib.ExitStack() as stack:
        # Under nohup it is ignored, and what is started here would inherit that.
        stack.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL))

        def run(typed, given):
            environment = {"TMPDIR": str(open_folder), "TICKETSVC_HOME": str(home)}
            if given:
                environment["DATABASE_URL"] = database
            if typed.startswith("report"):
                slow = CELL.format(str(scenarios / "starts"))
                environment["program"] = ("-c", REPORT.format(slow))
            command = start_command(*typed.split(), cwd=open_folder, **environment)
            stack.callback(command.wait)
            stack.callback(command.kill)
            return command

        yield run


@pytest.mark.parametrize(
    ("typed", "given", "reached", "name"), MOMENTS, ids=[typed for typed, *_ in MOMENTS]
)
def test_a_signal_ends_a_command_and_leaves_nothing(
    typed, given, reached, name, start, open_folder, connection, request
):
    if reached is blocked:
        request.getfixturevalue("locked")
    command = start(typed, given)
    process = psutil.Process(command.pid)
    eventually(lambda: command.poll() is not None or reached(process, open_folder, connection))
    command.send_signal(signal.Signals[name])
    _, said = command.communicate(timeout=TIMEOUT_S)
    words = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    assert said.splitlines()[-1:] == [f"ticketsvc: {words}"], said
    assert "Traceback" not in said and "Error" not in said
    assert command.returncode == 128 + signal.Signals[name]
    eventually(lambda: processes_in(open_folder) == [])
    kept = {"home", "output", "runs", "scenarios", f"ticketsvc-{os.geteuid()}"}
    assert {each.name for each in open_folder.iterdir()} <= kept
    left = {each.name for folder in ("output", "runs") for each in open_folder.glob(f"{folder}/*")}
    assert left <= {"index.html"}
    assert not databases_named(connection, "ticketsvc_")


def processes_in(folder):
    """Return the command lines of the processes whose temporary folder is *folder*."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if each.environ().get("TMPDIR") == str(folder):
                found.append(each.cmdline())
    return found
