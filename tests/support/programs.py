"""Programs of the system that some tests need: without one they are skipped, and fail in CI."""

import os
import shutil
from typing import NoReturn

import pytest

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
