"""Run the command line in a process of its own."""

import json
import os
import subprocess
import sys

from tests.support.waiting import TIMEOUT_S


def run_command(*arguments, cwd, **environment):
    """Run `ticketsvc` with *arguments* to its end; return the completed process."""
    return subprocess.run(
        [sys.executable, "-m", "ticketsvc", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=2 * TIMEOUT_S,
    )


def start_command(*arguments, **environment):
    """Start `ticketsvc` with *arguments* and both outputs piped; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "ticketsvc", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def json_of(result, code=0):
    """Return what a command printed with `--json`, once it is seen to have ended with *code*."""
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout)


def error_line(result, code=2):
    """Return the one line of a command that could not do what was asked."""
    assert result.returncode == code, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("ticketsvc: ")
    return line
