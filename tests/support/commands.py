"""Run the command line in a process of its own."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

from tests.support.waiting import TIMEOUT_S
from ticketsvc.cli import main


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


def run_command_here(patch, *arguments, **environment):
    """Run `ticketsvc` with *arguments* in this process; return what `run_command` returns."""
    out, err = io.StringIO(), io.StringIO()
    with patch.context() as patched, redirect_stdout(out), redirect_stderr(err):
        patched.setattr(sys, "argv", ["ticketsvc", *arguments])
        for name, value in environment.items():
            patched.setenv(name, value)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def start_command(*arguments, cwd=None, program=("-m", "ticketsvc"), **environment):
    """Start `ticketsvc` with *arguments* and both outputs piped; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=cwd,
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
