"""The scripts of the notebooks, with the changes that their "Two things to try" suggest.

The notebooks, which the tests run, assert what the scripts do as they are.
"""

import ast
import contextlib
import json

import pytest

from ticketsvc.lab.experiments.by_hand import log_written, run_by_hand
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.memory_locks import take_locks_in_memory
from ticketsvc.settings import ROOT


@pytest.fixture(scope="module")
def lab(server):
    with server.clone() as url:
        lab = Lab(url)
        with contextlib.closing(lab.connection):
            yield lab


def script_of(name):
    """Return the script of a notebook."""
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    [source] = ["".join(cell["source"]) for cell in cells if cell["id"] == "script"]
    return ast.literal_eval(source.partition(" = ")[2])


RACE, SERIAL = script_of("02-reproduce"), script_of("03-root-cause")
UPDATE, LOCK = script_of("04-the-fix"), script_of("05-several-instances")
REPEATABLE = "B: BEGIN ISOLATION LEVEL REPEATABLE READ" + UPDATE
CHECKED = "A: ALTER TABLE pool ADD CHECK (available >= 0)" + RACE
READ, OTHER_READ = "A: SELECT available FROM pool", "B: SELECT available FROM pool"
MOVED = SERIAL.replace(f"\n{OTHER_READ}", "").replace(READ, f"{READ}\n{OTHER_READ}")
LOCKED = (
    MOVED.replace(READ, f"A: BEGIN\n{READ} FOR UPDATE")
    .replace(OTHER_READ, f"{OTHER_READ} FOR UPDATE")
    .replace("\nB: INSERT", "\nA: COMMIT\nB: INSERT")
)


# The changed script; the tickets and the stock that it leaves; what is told of its lines.
CHANGED = {
    "02, with a check": (CHECKED, [1, 1], 0, ["refused"]),
    "03, both read first": (MOVED, [1, 1], -1, []),
    "03, and lock": (LOCKED, [1], 0, ["waits for A", "goes on: available = 0"]),
    "04, without its condition": (
        *(UPDATE.replace(" WHERE available > 0", ""), [1], -1),
        ["waits for A", "goes on: avail"],
    ),
    "04, under REPEATABLE READ": (
        *(REPEATABLE, [1], 0),
        ["waits for A", "goes on: refused: could not serialize"],
    ),
    "05, without its lock": (LOCK.replace(" FOR UPDATE", ""), [], 0, []),
}


@pytest.mark.parametrize(("script", "numbers", "available", "told"), CHANGED.values(), ids=CHANGED)
async def test_a_script_does_what_the_notebook_says(lab, script, numbers, available, told):
    done = await run_by_hand(lab, script)
    assert (done.tickets["number"].tolist(), done.available) == (numbers, available)
    seen = [result for result in done.results if result.startswith(("waits", "goes", "refused"))]
    assert len(seen) == len(told)
    assert all(result.startswith(start) for result, start in zip(seen, told, strict=True))


@pytest.mark.parametrize(
    ("line", "words"), [("SELECT 1", "must be SESSION"), ("B: SELECT 1", "B still waits")]
)
async def test_a_line_that_cannot_run_is_named(lab, line, words):
    with pytest.raises(ValueError, match=words):
        await run_by_hand(lab, LOCK.replace("A: COMMIT", line))


async def test_a_script_leaves_nothing(lab):
    await run_by_hand(lab, LOCK.replace("A: COMMIT", "A: SELECT 1"))
    assert lab.query("SELECT FROM pg_namespace WHERE nspname LIKE 'ticketsvc_by_hand'").empty
    others = "SELECT FROM pg_stat_activity WHERE application_name = 'ticketsvc-by-hand'"
    assert lab.query(others + " AND state <> 'idle'").empty


async def test_a_row_per_ticket_is_a_record_of_the_log_per_ticket(lab):
    rows = "INSERT INTO tickets SELECT number, 'Ann' FROM generate_series(1, 8) AS number"
    written = await log_written(lab, rows, "INSERT INTO ranges VALUES (1, 8, 'Ann')")
    assert written["records"].tolist() == [8, 1]


def test_every_process_gets_its_own_lock_in_memory():
    assert take_locks_in_memory(2) == [True, True]
