"""A new allocator, as `docs/add-an-allocator.md` says: a file and its SQL, in a copy of this.

Where allocators are compared, it is there, and nothing else has been told of it.
"""

import os
import shutil
import sys
from pathlib import Path
from subprocess import run

import nbformat
import pytest

from tests.support.commands import json_of, run_command
from ticketsvc.allocators import SAFE
from ticketsvc.settings import ROOT

NAME = "no_key_lock"
FILE = '''"""Lock the pool row in the mode that foreign keys do not wait for."""

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import checkout
from ticketsvc.database.statements import load


class NoKeyLock(CheckThenAct):
    mechanism = Mechanism(
        name="no_key_lock",
        summary="the pool row locked by SELECT … FOR NO KEY UPDATE, then check-then-act",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one line: SELECT … FOR NO KEY UPDATE, in the transaction",
    )

    def __init__(self, pool, schema):
        super().__init__(pool, schema)
        self._lock_pool = load("no_key_lock", schema)["lock_pool"]

    async def allocate(self, purchase):
        async with checkout(self._pool) as connection, connection.transaction():
            return await self._check_then_act(connection, purchase, self._lock_pool)
'''
SQL = """-- name: lock_pool
-- Read the pool, and keep its row from those who change it.
SELECT total, available FROM {schema}.ticket_pools WHERE event_id = %(event)s FOR NO KEY UPDATE
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("ticketsvc", "sql"):
        # Another test's process may be writing bytecode, under a name that is gone a moment later.
        unfinished = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=unfinished)
    (tmp_path / f"ticketsvc/allocators/{NAME}.py").write_text(FILE)
    (tmp_path / f"sql/statements/{NAME}.sql").write_text(SQL)
    shutil.copy(Path(__file__).with_name("appearances.py"), tmp_path)
    return tmp_path


def test_it_appears_wherever_allocators_are_compared(copy: Path, database: str) -> None:
    command = [sys.executable, "appearances.py"]
    environment = {**os.environ, "DATABASE_URL": database}
    done = run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    found = json_of(done)
    missing = {
        place: sorted({*SAFE, NAME} - {word.split("\n")[0] for word in names})
        for place, names in found["where"].items()
    }
    assert {place: names for place, names in missing.items() if names} == {}
    assert (found["stores"][NAME], found["clean"]) == ("rows", True)


def test_serve_lists_it(copy: Path) -> None:
    assert NAME in run_command("serve", "--help", cwd=copy).stdout


@pytest.mark.parametrize("number", ["04", "05"])
def test_a_notebook_of_bursts_takes_every_safe_one(number: str) -> None:
    [path] = (ROOT / "notebooks").glob(f"{number}-*.ipynb")
    cells = nbformat.read(path, nbformat.NO_CONVERT)["cells"]
    assert [cell for cell in cells if "*bursts.SAFE" in cell["source"]]
