#!/usr/bin/env python3
"""Make .venv from the hashed lock, then run ticketsvc in it.

    python3 run.py              every notebook, into reports/index.html
    python3 run.py test         the checks and the tests (further arguments go to pytest)
    python3 run.py ANY ...      ticketsvc ANY ...

Standard library only: it has to run before anything is installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
OLDEST = (3, 11)
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def refuse(message):
    """End with one clear line, exit 2."""
    print(f"run.py: {message}", file=sys.stderr)
    raise SystemExit(2)


def fingerprint():
    """Name what the environment was made from; another answer means: make it anew."""
    project = (ROOT / "pyproject.toml").read_bytes().split(b"[tool.", 1)[0]
    parts = [LOCK.read_bytes(), project, sys.version.encode(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def prepare():
    """Create the environment, or leave it alone when lock, project and Python are unchanged."""
    stamp = VENV / "made-from"
    wanted = fingerprint()
    if stamp.is_file() and stamp.read_text() == wanted and PYTHON.exists():
        return
    print("run.py: setting up .venv (once, about a minute)", file=sys.stderr, flush=True)
    # Not the Python of the .venv that is about to go, when that is the one which runs this.
    python = getattr(sys, "_base_executable", None) or sys.executable
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run(
        [python, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        reason = (made.stdout + made.stderr).strip() or "no reason given"
        if "ensurepip" in reason or "No module named" in reason:
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            refuse(
                f"this Python cannot make an environment: on Debian or Ubuntu install "
                f"python3-venv (or {package}), then run again"
            )
        refuse(f"could not make {VENV.name}: {reason.splitlines()[-1]}")
    # -I: what PYTHONPATH leads to must not count as installed.
    pip = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    steps = (
        [*pip, "--require-hashes", "-r", str(LOCK)],
        [*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
    )
    for step in steps:
        if subprocess.run(step, check=False).returncode:
            refuse("the packages could not be installed; pip's own words are above")
    stamp.write_text(wanted)


def main(arguments):
    """Prepare, then hand over; the exit code is the command's own."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        refuse(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {found}")
    prepare()
    if arguments[:1] == ["test"]:
        os.chdir(ROOT)
        command = ["-m", "tests", *arguments[1:]]
    else:
        command = ["-m", "ticketsvc", *(arguments or ["report"])]
    if os.name != "nt":
        os.execv(PYTHON, [str(PYTHON), *command])  # noqa: S606 - signals reach the command itself
    return subprocess.run([str(PYTHON), *command], check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
