"""What `python3 run.py test` runs: the checks, then pytest.

    python -m tests                       every check, then every test
    python -m tests ARGS ...              pytest ARGS, and nothing else
    python -m tests --checks [NAME ...]   only the checks, or those of these names
    python -m tests --fix                 rewrite what can be rewritten

Everything runs whatever fails, and the exit code is 1 when anything did. pytest comes last, so
that its summary closes the output; it repeats which checks failed.
"""

import getpass
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from ticketsvc import interrupts

ROOT = Path(__file__).resolve().parent.parent
FAILED_CHECKS = "TESTS_FAILED_CHECKS"
# Two for each processor, four at most: many a test waits for what it has started. The tests of one
# module or class run in one worker, which makes what they share once. They come in their own order:
# those of `unit` are short, and come last, so that all workers end at about the same time.
WORKERS = min(4, 2 * (os.cpu_count() or 1))
PYTEST = ("-p", "tests.__main__", f"-n{WORKERS}", "--dist=loadscope", "--no-loadscope-reorder")

# Cell ids are kept: they are names. The keys are what papermill and JupyterLab write at each run.
STRIP = (
    "nbstripout",
    "--keep-id",
    "--drop-tagged-cells=injected-parameters",
    "--extra-keys=metadata.papermill cell.metadata.papermill cell.metadata.execution",
)
CHECKS = {
    "format": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "."),
    "types": ("mypy",),
    "notebooks": (*STRIP, "--verify"),
}
FIXES = {  # the linter first: what it changes may want formatting
    "lint": ("ruff", "check", "--fix", "."),
    "format": ("ruff", "format", "."),
    "notebooks": STRIP,
}

# Variables that say where a tool keeps its cache.
CACHES = ("HYPOTHESIS_STORAGE_DIRECTORY", "MYPY_CACHE_DIR", "RUFF_CACHE_DIR")

# Variables that would change what the tests see: other packages, asserts left out, other warnings.
LEFTOVERS = ("PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONWARNINGS")


def main(arguments: list[str]) -> int:
    """Run what *arguments* ask for; return the exit code."""
    if arguments[:1] == ["--fix"]:
        return 1 if failures(FIXES) else 0
    if arguments[:1] == ["--checks"]:
        unknown = [name for name in arguments[1:] if name not in CHECKS]
        if unknown:
            print(f"no check {unknown[0]!r}: there are {', '.join(CHECKS)}", file=sys.stderr)
            return 2
        return 1 if failures({name: CHECKS[name] for name in arguments[1:] or CHECKS}) else 0
    if arguments:
        return run(("pytest", *arguments))
    failed = failures(CHECKS)
    code = run(("pytest", *PYTEST), more={FAILED_CHECKS: ", ".join(failed)})
    return code or (1 if failed else 0)


def failures(steps: dict[str, tuple[str, ...]]) -> list[str]:
    """Run every step, whatever fails; return the names of those that did."""
    failed = []
    for name, command in steps.items():
        print(f"tests: {name}: {command[0]}", flush=True)
        if on_notebooks(command) if "nbstripout" in command else run(command):
            print(f"tests: {name} FAILED", flush=True)
            failed.append(name)
    return failed


def on_notebooks(command: tuple[str, ...]) -> int:
    """Run *command* on the notebooks that git keeps; to verify, on a copy of them.

    nbstripout opens for writing what it only reads, and the files may be another user's.
    """
    files = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("notebooks/*.ipynb"))
    if not files:
        return 0
    if "--verify" not in command:
        return run((*command, *files))
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            copy = Path(folder, file)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes((ROOT / file).read_bytes())
        return run((*command, *files), Path(folder))


def run(
    module: tuple[str, ...], folder: Path = ROOT, more: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Run a Python module with its arguments, in *folder*, with *more* in its environment."""
    environment = {name: value for name, value in os.environ.items() if name not in LEFTOVERS}
    environment.update(more)
    if not os.access(ROOT, os.W_OK):  # another user's checkout: keep the caches elsewhere
        caches = Path(tempfile.gettempdir(), f"ticketsvc-caches-of-{getpass.getuser()}")
        environment |= {name: str(caches / name.partition("_")[0].lower()) for name in CACHES}
        if module[0] == "pytest":
            module = (*module, "-o", f"cache_dir={caches / 'pytest'}")
    process = subprocess.Popen([sys.executable, "-m", *module], cwd=folder, env=environment)
    try:
        return process.wait()
    except interrupts.Interrupted as signalled:
        if signalled.number != signal.SIGINT:  # a terminal's Ctrl-C has reached the process too
            process.send_signal(signal.SIGINT)
        process.wait()
        raise


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say above pytest's closing line which checks failed: it may read "passed" otherwise."""
    if failed := os.environ.get(FAILED_CHECKS):
        terminalreporter.section("checks that failed", red=True)
        terminalreporter.line(f"FAILED {failed} (shown further up)", red=True)


if __name__ == "__main__":
    interrupts.install()
    try:
        sys.exit(main(sys.argv[1:]))
    except interrupts.Interrupted as signalled:
        print(f"tests: {signalled}", file=sys.stderr)
        raise
