"""A new allocator, as `docs/add-an-allocator.md` says: a file and its SQL, in a copy of this.

Where allocators are compared, it is there, and nothing else has been told of it.
"""

import os
import shutil
import sys
from pathlib import Path
from subprocess import run

from tests.support.commands import json_of
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


def test_it_appears_wherever_allocators_are_compared(tmp_path: Path, database: str) -> None:
    for folder in ("ticketsvc", "sql"):
        # Another test's process may be writing bytecode, under a name that is gone a moment later.
        unfinished = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=unfinished)
    (tmp_path / f"ticketsvc/allocators/{NAME}.py").write_text(FILE)
    (tmp_path / f"sql/statements/{NAME}.sql").write_text(SQL)
    shutil.copy(Path(__file__).with_name("appearances.py"), tmp_path)
    command = [sys.executable, "appearances.py"]
    environment = {**os.environ, "DATABASE_URL": database}
    done = run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    found = json_of(done)
    missing = {
        place: sorted({*SAFE, NAME} - {word.split("\n")[0] for word in names})
        for place, names in found["where"].items()
    }
    assert {place: names for place, names in missing.items() if names} == {}
    assert (found["stores"][NAME], found["clean"]) == ("rows", True)
