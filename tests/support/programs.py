"""Programs of the system that some tests need, and their configuration in docs/deploy.

Without a program the tests are skipped, and fail in CI.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "docs" / "deploy"
# Where Debian keeps servers, which a normal user does not have on PATH.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def find_program(name: str) -> str | None:
    """Return the path of a program, or None where it is not installed."""
    return shutil.which(name, path=_PATH)


def require_program(*names: str) -> str:
    """Return the path of the first of *names* that is installed; else as `missing`."""
    found = next(filter(None, map(find_program, names)), None)
    return found or missing(f"not installed: {' or '.join(names)}")


def missing(reason: str) -> NoReturn:
    """Skip the test with *reason*, or fail it where `CI` is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def configuration(name: str, changes: Mapping[str, str]) -> str:
    """Return the file *name* of docs/deploy with *changes*, what is there → what is here."""
    text = (CONFIGURATIONS / name).read_text("utf-8")
    for there, here in changes.items():
        assert there in text
        text = text.replace(there, here)
    return text
