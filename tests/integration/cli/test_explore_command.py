"""What `explore` prints, and how it ends."""

import pytest

from tests.support.clusters import databases_named, login
from tests.support.commands import error_line, json_of, start_command
from tests.support.waiting import eventually

SCRATCH = "ticketsvc_explore_"


@pytest.fixture
def explore(cli_here, database):
    """Run `explore` with these arguments, in this process."""
    return lambda *arguments: cli_here("explore", *arguments, DATABASE_URL=database)


def test_naive_for_machines(explore):
    ended = explore("--allocator", "naive", "--json")
    found = json_of(ended, code=1)
    assert ended.stderr == ""
    assert (found["schedules"], found["classes"], found["clean"]) == (184_756, 2, 2)
    assert found["violations"]["oversold"] == found["violations"]["duplicate"] == 184_754
    names = {"violating", "refused", "blocked", "retries", "sqlstates", "executed_per_second"}
    assert names <= found.keys()


def test_the_example_of_an_outcome_is_not_serial_and_waits_if_it_can(explore):
    row_lock = ("--allocator", "row_lock", "--json")
    found = json_of(explore(*row_lock))
    assert found["examples"]["clean"] == found["ids"]["clean"][0]
    replayed = json_of(explore(*row_lock, "--replay", found["examples"]["clean"]))
    assert any(step["waited for"] for step in replayed["steps"])


THREE = "--allocator row_lock --buyers 3 "


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        ("--allocator range --total 16", 0, ["all 4 schedules are covered, and clean"]),
        (THREE + "--sample 5", 3, ["5 random schedules, none bad; a sample cannot prove the rest"]),
        (THREE + "--limit 5", 3, ["not every schedule is covered"]),
        ("--allocator naive_bulk --total 0", 3, ["shows nothing"]),
        ("--allocator naive_bulk --quantity 8000", 3, ["shows nothing"]),
        (
            "--allocator naive_bulk --replay 2b",
            1,
            ["read_pool", "available 8", "duplicate", "A: 1-8", "B: 1-8"],
        ),
    ],
)
def test_for_people(explore, typed, code, words):
    ended = explore(*typed.split())
    assert ended.returncode == code
    assert all(each in ended.stdout for each in words)


def _scratch(connection):
    return databases_named(connection, SCRATCH)


def _sessions(connection):
    return connection.execute(
        "SELECT FROM pg_stat_activity WHERE application_name = 'ticketsvc-explore'"
    ).fetchall()


def test_the_database_of_a_killed_run_goes_with_the_next_one(explore, database, connection):
    running = start_command("explore", "--buyers", "3", "--sample", "1000", DATABASE_URL=database)
    eventually(lambda: _sessions(connection))
    running.kill()
    running.communicate()
    eventually(lambda: not _sessions(connection))
    [left] = _scratch(connection)
    assert explore("--allocator", "range").returncode == 0
    assert left not in _scratch(connection)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--allocator", "none"], "--allocator 'none'"),
        (["--allocator", "range", "--schema", "original"], "range works on fixed"),
        (["--quantity", "7"], "multiple of 8"),
        (["--quantity", "-8"], "multiple of 8"),
        (["--buyers", "0"], "--buyers"),
        (["--buyers", "99"], "--buyers"),
        (["--total", "-1"], "--total"),
        (["--full", "--sample", "3"], "exclude each other"),
        (["--replay", "!"], "--replay"),
        (["--replay", ""], "--replay"),
        (["--allocator", "noop"], "--allocator 'noop'"),
        (["--allocator", "naive_bulk", "--replay", "zz"], "no schedule of this case"),
    ],
)
def test_wrong(explore, arguments, words):
    ended = explore(*arguments)
    assert words in error_line(ended)
    assert ended.stdout == ""


def test_a_role_that_may_not_create_a_database(cli_here, database, connection):
    with login(connection, database, "visitor") as address:
        ended = cli_here("explore", "--allocator", "naive_bulk", DATABASE_URL=address)
        assert "may not create one" in error_line(ended)
