#!/usr/bin/env python3
"""Make .venv from a hashed lock, then run ticketsvc in it.

    python3 run.py              run every notebook, into reports/index.html
    python3 run.py test         run the checks and the tests (further arguments go to pytest)
    python3 run.py ANY ...      run `ticketsvc ANY ...`

Standard library only: it runs before anything is installed.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST = (3, 11)
# Each lock holds the one before it. `lab` and `test` need more than the other commands do.
LOCKS = ("requirements.lock", "requirements-lab.lock", "requirements-test.lock")
NEEDED = {"lab": LOCKS[1], "test": LOCKS[2]}
# How pip begins the line on a package that it has fetched or need not fetch.
DECIDED = ("Collecting ", "Ignoring ", "Requirement already satisfied")
LOG_LINES = 15  # of pip's, when it fails
PAUSE_S = 0.2


def refuse(message):
    """End with one clear line, exit 2."""
    print("run.py: " + message, file=sys.stderr)
    raise SystemExit(2)


def prepare(lock):
    """Make the environment, or add to it what *lock* asks for; do nothing when it is up to date."""
    wanted = fingerprints(lock)
    stamp = VENV / "made-from.json"
    made = {}
    with contextlib.suppress(OSError, ValueError):
        made = json.loads(stamp.read_text())
    if os.access(PYTHON, os.X_OK) and wanted.items() <= made.items():
        return
    usable = os.access(PYTHON, os.X_OK) and made.get("python") == wanted["python"]
    # Without the stamp, an environment that is left half made does not count.
    with contextlib.suppress(OSError):
        stamp.unlink()
    try:
        if not usable:
            make_venv()
        install(ROOT / lock)
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise
    kept = {name: value for name, value in made.items() if usable and name not in wanted}
    stamp.write_text(json.dumps({**kept, **wanted}))


def fingerprints(lock):
    """Return what an environment is made from: Python, project, *lock* and those it holds."""
    project = (ROOT / "pyproject.toml").read_bytes().split(b"[tool.", 1)[0]
    parts = {"python": repr((sys.version, str(ROOT))).encode(), "project": project}
    parts.update((name, (ROOT / name).read_bytes()) for name in LOCKS[: LOCKS.index(lock) + 1])
    return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}


def make_venv():
    """Create an empty environment in the place of any that is there."""
    # Not the Python of the .venv that is about to go, when that is the one which runs this.
    python = getattr(sys, "_base_executable", None) or sys.executable
    shutil.rmtree(VENV, ignore_errors=True)
    print("run.py: making {} (once)".format(VENV.name), file=sys.stderr, flush=True)
    code, words = run_child([python, "-m", "venv", str(VENV)])
    if code:
        reason = words.strip() or "no reason given"
        if "ensurepip" in reason or "No module named" in reason:
            package = "python{}.{}-venv".format(*sys.version_info[:2])
            refuse(
                "this Python cannot make an environment: on Debian or Ubuntu install "
                "python3-venv (or " + package + "), then run again"
            )
        refuse("could not make {}: {}".format(VENV.name, reason.splitlines()[-1]))


def install(lock):
    """Install what *lock* names, and this project; show how far pip has come."""
    # -I: what PYTHONPATH leads to must not count as installed. Bytecode is made at first use.
    pip = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    pip += ["--no-deps", "--no-compile", "--progress-bar", "off"]
    total = sum(line[:1].isalnum() for line in lock.read_text().splitlines())
    with progress_shown(total) as show:
        for what in (
            ["--require-hashes", "-r", str(lock)],
            ["--no-build-isolation", "-e", str(ROOT)],
        ):
            code, words = run_child([*pip, *what], show)
            if code:
                print(*words.splitlines()[-LOG_LINES:], sep="\n", file=sys.stderr)
                refuse("the packages could not be installed; pip's own words are above")


def run_child(command, show=lambda words: None):
    """Run *command* to its end; return its exit code and output. Call *show* with that meanwhile.

    Interrupt it when a signal ends this process: it is in a session of its own.
    """
    with tempfile.TemporaryDirectory(prefix="ticketsvc-run-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=os.name != "nt"
            )
        try:
            while child.poll() is None:
                show(log.read_text(errors="replace"))
                time.sleep(PAUSE_S)
        finally:
            if child.poll() is None:
                child.terminate() if os.name == "nt" else os.killpg(child.pid, signal.SIGINT)
                child.wait()
        return child.returncode, log.read_text(errors="replace")


@contextlib.contextmanager
def progress_shown(total):
    """Say that packages are installed; on a terminal, how many, and the time left."""
    site = next(VENV.glob("[Ll]ib*/**/site-packages"))
    before = len(list(site.glob("*.dist-info")))
    began = time.monotonic()
    print(
        "run.py: installing {} packages into {} (about a minute)".format(total, VENV.name),
        file=sys.stderr,
        flush=True,
    )

    def show(log):
        fetched = sum(line.startswith(DECIDED) for line in log.splitlines())
        installed = len(list(site.glob("*.dist-info"))) - before
        share = (fetched + installed) / (2 * total)
        if not share:
            return
        left = (time.monotonic() - began) * (1 - share) / share
        what = "installed {}".format(installed) if installed else "fetched {}".format(fetched)
        words = "run.py: {} of {} packages, about {:.0f} s left".format(what, total, left)
        print("\r" + words.ljust(70), end="", file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        yield show
    finally:
        print("\r" + " " * 70, end="\r", file=sys.stderr, flush=True)


def main(arguments):
    """Prepare, then hand over; the exit code is the command's own."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        refuse("Python {}.{} or newer is needed, this is {}".format(*OLDEST, found))
    prepare(NEEDED.get(arguments[0] if arguments else "report", LOCKS[0]))
    if arguments[:1] == ["test"]:
        os.chdir(ROOT)
        command = ["-m", "tests", *arguments[1:]]
    else:
        command = ["-m", "ticketsvc", *(arguments or ["report"])]
    # pip compiles nothing, and without bytecode each of a command's processes would do it again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if os.name != "nt":
        os.execv(PYTHON, [str(PYTHON), *command])  # noqa: S606 - signals reach the command itself
    return subprocess.run([str(PYTHON), *command], check=False).returncode


def take_signals():
    """Let Ctrl-C and the signals that ask a process to end clean up what was begun."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP, and nohup ignores it
        if number and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            signal.signal(number, end)


def end(number, _):
    """Say which signal ends this process; exit with 128 and its number."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    name = signal.Signals(number).name
    words = "interrupted" if name == "SIGINT" else "stopped by " + name
    print("\r" + " " * 70 + "\r" if sys.stderr.isatty() else "", end="", file=sys.stderr)
    print("run.py: " + words, file=sys.stderr)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    take_signals()
    sys.exit(main(sys.argv[1:]))
