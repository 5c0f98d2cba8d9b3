"""What the figures of a report were measured on: machine, system, versions."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import psutil
import psycopg

from ticketsvc.settings import ROOT

_PACKAGES = ("ticketsvc", "psycopg", "aiohttp", "pandas", "matplotlib", "papermill")

_SAMPLE_S = 0.3
_BUSY_PERCENT = 50


def gather_facts(database_url: str) -> dict[str, str]:
    """Return date, machine, system and versions; the server's by asking *database_url*.

    *Other work*: whether the processors have much to do now, before anything is measured.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Processors": f"{usable} ({platform.machine()})",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "System": _system(),
        "Python": platform.python_version(),
        "PostgreSQL": _server_version(database_url),
        "Other work": "yes" if psutil.cpu_percent(_SAMPLE_S) > _BUSY_PERCENT else "no",
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    commit = _commit()
    if commit:
        facts["Commit"] = commit
    return facts


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
    return f"{name}, {platform.system()} {platform.release()}"


def _server_version(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        return connection.info.parameter_status("server_version") or "not known"


def _commit() -> str | None:
    """Name the checkout's commit, and whether the files differ from it."""
    try:
        answers = [
            subprocess.run(
                ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "--short=10", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{answers[0]} with local changes" if answers[1] else answers[0]
