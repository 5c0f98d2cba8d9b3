"""`lab`: the notebooks in JupyterLab."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import click

from ticketsvc.cli.db import prepare_schemas
from ticketsvc.cli.root import ticketsvc
from ticketsvc.interrupts import postponed

_LOOK_EVERY_S = 0.2
_STOP_TIMEOUT_S = 15  # JupyterLab shuts its kernels down first


@ticketsvc.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Open the notebooks in JupyterLab, with a database ready. Ctrl-C ends it.

    \b
      python3 run.py lab
      python3 run.py lab -- --no-browser --port 8890    after --: JupyterLab's own options
    """
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab import jupyter

    with kept_database() as conninfo:
        prepare_schemas(conninfo)
        environment = {**os.environ, "DATABASE_URL": conninfo}
        paths = [str(Path(jupyter.__file__).parent), os.environ.get("JUPYTER_CONFIG_PATH")]
        environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))
        code = _run([sys.executable, "-m", "jupyterlab", *arguments], environment)
    raise click.exceptions.Exit(code)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run JupyterLab until it ends by itself, or a signal ends this process.

    In a session of its own: at the first Ctrl-C it would ask whether that is meant.
    """
    with contextlib.ExitStack() as stack:
        with postponed():
            process = subprocess.Popen(command, env=environment, start_new_session=True)
            stack.callback(_stop, process)
        _print_address(process)
        code = process.wait()
        return code if code >= 0 else 128 - code


def _print_address(process: "subprocess.Popen[bytes]") -> None:
    """Print the address to open once JupyterLab listens there; nothing when it ends before."""
    from jupyter_server.serverapp import list_running_servers

    while process.poll() is None:
        for server in list_running_servers():
            if server["pid"] == process.pid:
                print(f"JupyterLab runs: {server['url']}?token={server['token']}", flush=True)
                return
        time.sleep(_LOOK_EVERY_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
