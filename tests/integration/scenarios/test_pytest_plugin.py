"""`race_*.toml` as tests: one per file, in a pytest of its own where any warning is an error."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from tests.support.scenarios import by_psql, by_python, write
from tests.support.waiting import TIMEOUT_S
from ticketsvc.settings import ROOT

# A checkout that is not installed has no entry point.
INSTALLED = any(
    each.value == "ticketsvc.lab.pytest_plugin" for each in entry_points(group="pytest11")
)
PLUGIN = [] if INSTALLED else ["-p", "ticketsvc.lab.pytest_plugin"]


@pytest.fixture
def run_pytest(tmp_path, database):
    """Run pytest in a folder of its own; return its exit code and output."""
    # Other plugins warn without these, or are slow to import.
    options = "asyncio_default_fixture_loop_scope = function\naddopts = -p no:schemathesis\n"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{options}")

    def run():
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *PLUGIN],
            cwd=tmp_path,
            env={**os.environ, "DATABASE_URL": database, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * TIMEOUT_S,
        )
        return ended.returncode, ended.stdout + ended.stderr

    return run


def test_each_file_passes_or_says_why_not(run_pytest, tmp_path):
    write(tmp_path, by_python("fixed"), "race_fixed.toml")
    write(tmp_path, by_python("naive"), "race_naive.toml")
    write(tmp_path, by_psql("SELEC 1"), "race_unsure.toml")
    write(tmp_path, by_python("naive").replace("count", "cuont"), "race_wrong.toml")
    write(tmp_path, "no scenario", "other.toml")
    code, said = run_pytest()
    assert code == 1
    for words in (
        "3 failed, 1 passed",
        "22 of 24 schedules violate an invariant; the smallest:",
        "violated: no seat twice: seat = 1, count = 2",
        "Show it again: ticketsvc explore race_naive.toml --replay ",
        "could not tell: no client succeeded in any schedule",
        "race_wrong.toml: client.1.cuont: unknown key",
    ):
        assert words in said
    assert "Traceback" not in said


def test_without_such_a_file_nothing_is_imported(run_pytest, tmp_path):
    (tmp_path / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n"
        "    assert 'ticketsvc.lab.pytest_plugin' in sys.modules\n"
        "    assert not {'ticketsvc.errors', 'psycopg', 'aiohttp'} & sys.modules.keys()\n"
    )
    code, said = run_pytest()
    assert code == 0, said
