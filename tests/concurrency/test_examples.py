"""What the explorer finds of each example: every broken one, and nothing wrong with a fixed one."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from ticketsvc.lab.explore.scenario import explore_scenario
from ticketsvc.lab.scenarios.psql import find_psql
from ticketsvc.lab.scenarios.spec import read_scenario
from ticketsvc.settings import ROOT

EXAMPLES = ROOT / "examples"

# Schedules, and how many of them violate: broken and fixed, with commits held.
KINDS = {
    "sql/1-overlapping-bookings": ((20, 18), (8, 0), "phantom"),
    "sql/2-reserved-quantity": ((182, 180), (6, 0), "lost update"),
    "sql/4-insert-where-not-exists": ((6, 4), (4, 0), "phantom"),
    "sql/5-counting-subquery": ((4, 2), (4, 0), "check-then-act on a stale read"),
    "sql/6-cancelled-twice": ((6, 6), (6, 0), "repeated request"),
    "sql/7-lock-released-early": ((42, 32), (8, 0), "lock released before commit"),
    "sql/8-status-without-guard": ((6, 6), (6, 0), "unguarded update"),
}
SERVICES = {
    "node-express": ((182, 180), (6, 0)),
    "fastapi-sqlalchemy": ((24, 22), (6, 0)),
    "flask-psycopg": ((50, 48), (8, 0)),
}


async def explored(server, file, **options):
    return await explore_scenario(
        server.server.url, read_scenario(EXAMPLES / file), find_psql(), **options
    )


def require_runtime(example):
    """Skip where what the example runs on is missing; fail there in continuous integration."""
    missing = ""
    if example == "node-express":
        if not shutil.which("node"):
            missing = "node is not on PATH"
        elif not (EXAMPLES / example / "node_modules").is_dir():
            missing = f"npm install was not run in examples/{example}"
    else:
        names = {"fastapi-sqlalchemy": ("fastapi", "sqlalchemy", "asyncpg", "uvicorn")}
        wanted = names.get(example, ("flask",))
        absent = [name for name in wanted if importlib.util.find_spec(name) is None]
        missing = f"{', '.join(absent)} is not installed" if absent else ""
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


@pytest.fixture
def own_python(monkeypatch):
    """Let `python3` be the interpreter that runs the tests, with its packages."""
    folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", folder + os.pathsep + os.environ["PATH"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_kind_is_found_and_its_cause_named(server, kind):
    found = await explored(server, f"{kind}/broken.toml")
    (schedules, violating), _, cause = KINDS[kind]
    assert (found.schedules, found.violating, found.reasons) == (schedules, violating, [])
    assert found.smallest.cause.name == cause


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fixed_kind_is_clean(server, kind):
    found = await explored(server, f"{kind}/fixed.toml")
    _, (schedules, violating), _ = KINDS[kind]
    assert found.complete
    assert (found.schedules, found.violating, found.reasons) == (schedules, violating, [])


@pytest.mark.parametrize("service", SERVICES)
async def test_a_naive_service_violates(server, service, own_python):
    require_runtime(service)
    found = await explored(server, f"{service}/naive.toml")
    (schedules, violating), _ = SERVICES[service]
    assert (found.schedules, found.violating, found.reasons) == (schedules, violating, [])


@pytest.mark.parametrize("service", SERVICES)
async def test_a_fixed_service_is_clean_and_waits(server, service, own_python):
    require_runtime(service)
    found = await explored(server, f"{service}/fixed.toml")
    _, (schedules, violating) = SERVICES[service]
    assert (found.schedules, found.violating, found.reasons) == (schedules, violating, [])
    assert found.blocked


async def test_without_held_commits_overlapping_statements_are_not_seen(server):
    found = await explored(server, "sql/4-insert-where-not-exists/broken.toml", hold_commits=False)
    assert (found.schedules, found.clean) == (2, 2)
