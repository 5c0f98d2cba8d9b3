"""`lab`: the notebooks in JupyterLab."""

import os
import signal
import subprocess
import sys

import click

from ticketsvc.cli.db import prepare_schemas
from ticketsvc.cli.root import ticketsvc
from ticketsvc.settings import load_settings


@ticketsvc.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Open JupyterLab on the notebooks, with the database ready; -- ARGS go to JupyterLab."""
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.report.run_notebooks import NOTEBOOKS

    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={NOTEBOOKS}", "--KernelManager.transport_encryption=auto"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command += ["--allow-root"]  # the suite works for root, so this does
    with kept_database(load_settings()) as conninfo:
        prepare_schemas(conninfo)
        code = _run_in_front([*command, *arguments], {**os.environ, "DATABASE_URL": conninfo})
    raise click.exceptions.Exit(code)


def _run_in_front(command: list[str], environment: dict[str, str]) -> int:
    """Run a program until it ends by itself; signals are for it, and its exit code is ours."""
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: object) -> None:
        # A terminal's Ctrl-C reaches the program without us.
        if process and not (number == signal.SIGINT and sys.stdin.isatty()):
            process.send_signal(number)

    passed_on = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        passed_on.append(signal.SIGHUP)
    before = {number: signal.signal(number, pass_on) for number in passed_on}
    try:
        process = subprocess.Popen(command, env=environment)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
