"""What the explorer finds of each example: every broken one, and nothing wrong with a fixed one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import missing, require_program
from ticketsvc.lab.explore import fixes
from ticketsvc.lab.explore.scenario import explore_scenario
from ticketsvc.lab.scenarios.spec import read_scenario
from ticketsvc.settings import ROOT

EXAMPLES = ROOT / "examples"

# Schedules, and how many of them violate: broken and fixed, with commits held; the cause.
KINDS = {
    "sql/1-overlapping-bookings": ((20, 18), (8, 0), "phantom"),
    "sql/2-reserved-quantity": ((182, 180), (6, 0), "lost update"),
    "sql/4-insert-where-not-exists": ((6, 4), (4, 0), "phantom"),
    "sql/5-counting-subquery": ((4, 2), (4, 0), "check-then-act on a stale read"),
    "sql/6-cancelled-twice": ((6, 6), (6, 0), "repeated request"),
    "sql/7-lock-released-early": ((42, 32), (8, 0), "lock released before commit"),
    "sql/8-status-without-guard": ((6, 6), (6, 0), "unguarded update"),
    "web-and-counter": ((36, 33), (8, 0), "check-then-act on a stale read"),
}
SERVICES = {
    "node-express": ((182, 180), (6, 0), "check-then-act on a stale read"),
    "aiohttp-psycopg": ((182, 180), (6, 0), "check-then-act on a stale read"),
    "fastapi-sqlalchemy": ((24, 22), (6, 0), "lost update"),
    "flask-psycopg": ((50, 48), (8, 0), "check-then-act on a stale read"),
    "php": ((24, 22), (6, 0), "check-then-act on a stale read"),
    "python": ((14, 12), (4, 0), "check-then-act on a stale read"),
}
FOUND = KINDS | SERVICES
# What is tried on which: whether it holds, and what is said of it.
FIXES = {
    "sql/1-overlapping-bookings/broken.toml": {
        "exclusion constraint": (True, "a client is told of an error (23P01)"),
        "lock the bookings that are there": (False, "not there yet, so nothing could lock it"),
        "REPEATABLE READ, with retry": (False, "each keeps to its own snapshot"),
    },
    "sql/2-reserved-quantity/broken.toml": {
        "FOR UPDATE on the reads": (False, "no client uses a transaction"),
        "REPEATABLE READ": (False, "no client uses a transaction"),
    },
    "sql/4-insert-where-not-exists/broken.toml": {
        "unique seat": (True, "a client is told of an error (23505)"),
        "advisory lock around the client": (True, "holds in every schedule"),
    },
    "sql/5-counting-subquery/broken.toml": {
        "REPEATABLE READ": (True, "(40001) and has to try again"),
        "FOR UPDATE on the reads": (False, "there is no statement to add FOR UPDATE to"),
    },
    "sql/6-cancelled-twice/broken.toml": {
        "available never above total": (True, "in 6 of 6 schedules a client is told of an error"),
        "SERIALIZABLE, with retry": (False, "no two transactions have to overlap"),
    },
    "sql/7-lock-released-early/broken.toml": {
        "FOR UPDATE on the reads": (False, "with count(…): SELECT"),
    },
    "sql/8-status-without-guard/broken.toml": {
        "unique sale": (True, "in 6 of 6 schedules a client is told of an error (23505)"),
    },
    "python/naive.toml": {
        "one transaction per client": (False, "a transaction alone locks nothing that it only"),
        "one transaction per client, FOR UPDATE on the reads": (True, "holds in every schedule"),
        "one transaction per client, SERIALIZABLE, with retry": (True, "a client tries again"),
    },
    "aiohttp-psycopg/naive.toml": {
        "one transaction per client": (False, "do not come on one connection that is its own"),
    },
    "web-and-counter/broken.toml": {
        "FOR UPDATE on the reads": (True, "holds in every schedule"),
    },
}


async def explored(server, file, **options):
    return await explore_scenario(server.server.url, read_scenario(EXAMPLES / file), **options)


def require_runtime(example):
    """Skip where what the example runs on is missing; fail there in continuous integration."""
    if example == "node-express":
        require_program("node")
        if not (EXAMPLES / example / "node_modules").is_dir():
            missing(f"npm install was not run in examples/{example}")
    if example == "php":
        asked = [require_program("php"), "-r", "exit(extension_loaded('pdo_pgsql') ? 0 : 1);"]
        if subprocess.run(asked, check=False).returncode:
            missing("php has no pdo_pgsql")
    packages = {
        "fastapi-sqlalchemy": ("fastapi", "sqlalchemy", "asyncpg", "uvicorn"),
        "flask-psycopg": ("flask",),
        "web-and-counter": ("flask",),
    }
    absent = [name for name in packages.get(example, ()) if not importlib.util.find_spec(name)]
    if absent:
        missing(f"not installed: {', '.join(absent)}")


@pytest.fixture
def own_python(monkeypatch):
    """Let `python3` be the interpreter that runs the tests, with its packages."""
    folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", folder + os.pathsep + os.environ["PATH"])


@pytest.mark.parametrize("example", FOUND)
async def test_a_broken_one_is_found_and_its_fixes_are_judged(
    server, example, own_python, monkeypatch
):
    require_runtime(example)
    file = f"{example}/{'naive' if example in SERVICES else 'broken'}.toml"
    found = await explored(server, file, keep=True)
    (schedules, violating), _, cause = FOUND[example]
    assert (found.schedules, found.violating, found.reasons) == (schedules, violating, [])
    assert found.smallest.cause.name == cause
    await judge_fixes(server, file, found, monkeypatch)


async def judge_fixes(server, file, found, monkeypatch):
    """Try what `FIXES` names of *file*; compare which hold, and what is said of them."""
    wanted = FIXES.get(file, {})
    every = fixes.candidates(found.scenario, found)
    chosen = [candidate for candidate in every if candidate.name in wanted]
    monkeypatch.setattr(fixes, "candidates", lambda *_: chosen)
    tried = await fixes.try_fixes(
        found.scenario,
        found,
        lambda ways, sql: explored(
            server, file, ways=ways, fixes=sql, keep=True, stop_at_violation=True
        ),
    )
    assert {one.candidate.name: one.holds for one in tried} == {
        name: holds for name, (holds, _) in wanted.items()
    }
    for one in tried:
        assert wanted[one.candidate.name][1] in one.why
        assert one.holds or one.found.smallest or one.found.reasons or not one.explored


@pytest.mark.parametrize("example", FOUND)
async def test_a_fixed_one_is_clean(server, example, own_python):
    require_runtime(example)
    found = await explored(server, f"{example}/fixed.toml")
    _, (schedules, violating), _ = FOUND[example]
    assert (found.complete, found.reasons) == (True, [])
    assert (found.schedules, found.violating) == (schedules, violating)
    assert found.blocked or example not in SERVICES  # a fixed service makes the second buyer wait
