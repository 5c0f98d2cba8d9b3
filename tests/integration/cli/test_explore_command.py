"""What `explore` prints, and how it ends."""

import signal

import pytest

from tests.support.clusters import databases_named
from tests.support.commands import json_of, start_command
from tests.support.processes import family, gone
from tests.support.waiting import TIMEOUT_S, eventually

SCRATCH = "ticketsvc_explore_"
LONG = ("explore", "--buyers", "3", "--sample", "100000")


def explore(cli, database, *arguments):
    return cli("explore", *arguments, DATABASE_URL=database)


def test_naive_for_machines(cli, database):
    ended = explore(cli, database, "--allocator", "naive", "--json")
    found = json_of(ended, code=1)
    assert ended.stderr == ""
    assert (found["schedules"], found["classes"], found["clean"]) == (184_756, 4, 2)
    assert found["violations"]["oversold"] == found["violations"]["duplicate"] == 184_754
    names = {"violating", "refused", "blocked", "retries", "sqlstates", "executed_per_second"}
    assert names <= found.keys()


def test_the_example_of_an_outcome_is_not_serial_and_waits_if_it_can(cli, database):
    found = json_of(explore(cli, database, "--allocator", "row_lock", "--json"))
    assert found["examples"]["clean"] == found["ids"]["clean"][0]
    replayed = explore(
        cli, database, "--allocator", "row_lock", "--json", "--replay", found["examples"]["clean"]
    )
    assert any(step["waited for"] for step in json_of(replayed)["steps"])


def test_a_right_one_is_exit_0(cli, database):
    ended = explore(cli, database, "--allocator", "range", "--total", "16")
    assert ended.returncode == 0
    assert "all 4 schedules are covered, and clean" in ended.stdout


def test_what_is_not_complete_is_exit_3(cli, database):
    for option, words in (
        ("--sample", "5 random schedules, none bad; a sample cannot prove the rest"),
        ("--limit", "not every schedule is covered"),
    ):
        ended = explore(cli, database, "--allocator", "row_lock", "--buyers", "3", option, "5")
        assert ended.returncode == 3
        assert words in ended.stdout


@pytest.mark.parametrize("arguments", [("--total", "0"), ("--quantity", "8000")])
def test_where_nobody_could_buy_nothing_is_claimed(cli, database, arguments):
    ended = explore(cli, database, "--allocator", "naive_bulk", *arguments)
    assert ended.returncode == 3
    assert "shows nothing" in ended.stdout


def _scratch(connection):
    return databases_named(connection, SCRATCH)


def _sessions(connection):
    return connection.execute(
        "SELECT FROM pg_stat_activity WHERE application_name = 'ticketsvc-explore'"
    ).fetchall()


def _statements(connection):
    return connection.execute(
        "SELECT FROM pg_stat_activity WHERE application_name = 'ticketsvc-explore' "
        "AND backend_type = 'client backend' AND query LIKE '%%INSERT INTO%%'"
    ).fetchall()


def test_ctrl_c_in_the_middle_of_a_schedule_leaves_nothing(database, connection):
    """Other moments and signals: test_interrupts."""
    running = start_command(*LONG, DATABASE_URL=database)
    try:
        eventually(lambda: _statements(connection))
        processes = family(running.pid)
        running.send_signal(signal.SIGINT)
        _, complaint = running.communicate(timeout=TIMEOUT_S)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, complaint
    assert gone(processes)
    assert _scratch(connection) == set()


def test_the_database_of_a_killed_run_goes_with_the_next_one(cli, database, connection):
    running = start_command(*LONG, DATABASE_URL=database)
    eventually(lambda: _sessions(connection))
    running.kill()
    running.communicate()
    eventually(lambda: not _sessions(connection))
    [left] = _scratch(connection)
    assert explore(cli, database, "--allocator", "range").returncode == 0
    assert left not in _scratch(connection)


def test_a_replay_for_people(cli, database):
    ended = explore(cli, database, "--allocator", "naive_bulk", "--replay", "2b")
    assert ended.returncode == 1
    for words in ("read_pool", "available 8", "duplicate", "A: 1-8", "B: 1-8"):
        assert words in ended.stdout


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
def test_wrong(cli_here, database, arguments, words):
    ended = explore(cli_here, database, *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


def test_a_role_that_may_not_create_a_database(cli, server, database, connection):
    connection.execute("CREATE ROLE visitor LOGIN PASSWORD 'visitor'")
    try:
        address = database.replace(database.split("//")[1].split("@")[0], "visitor:visitor")
        ended = explore(cli, address, "--allocator", "naive_bulk")
        assert ended.returncode == 2
        assert "may not create one" in ended.stderr
    finally:
        connection.execute("DROP ROLE visitor")
