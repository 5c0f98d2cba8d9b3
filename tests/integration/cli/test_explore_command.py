"""What `explore` prints, and how it ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.clusters import databases_named


def explore(cli, database, *arguments):
    return cli("explore", *arguments, DATABASE_URL=database)


def test_naive_for_machines(cli, database):
    ended = explore(cli, database, "--allocator", "naive", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert ended.stderr == ""
    assert (found["schedules"], found["classes"], found["clean"]) == (184_756, 4, 2)
    assert found["oversold"] == found["duplicate"] == 184_754
    names = {"refused", "blocked", "retries", "per_second", "executed_per_second", "complete"}
    assert names <= found.keys()


def test_a_right_one_is_exit_0(cli, database):
    ended = explore(cli, database, "--allocator", "range", "--total", "16")
    assert ended.returncode == 0
    assert "schedules" in ended.stdout


def test_what_is_not_complete_is_exit_3(cli, database):
    for option, words in (("--sample", "95 % confidence"), ("--limit", "not all schedules")):
        ended = explore(cli, database, "--allocator", "row_lock", "--buyers", "3", option, "5")
        assert ended.returncode == 3
        assert words in ended.stdout


@pytest.mark.parametrize("arguments", [("--total", "0"), ("--quantity", "8000")])
def test_where_nobody_could_buy_nothing_is_claimed(cli, database, arguments):
    ended = explore(cli, database, "--allocator", "naive_bulk", *arguments)
    assert ended.returncode == 3
    assert "shows nothing" in ended.stdout


@pytest.mark.parametrize("seconds", [2.0, 2.5, 3.0])
def test_ctrl_c_ends_it_and_leaves_no_database(database, connection, eventually, seconds):
    command = [sys.executable, "-m", "ticketsvc", "explore", "--buyers", "3", "--sample", "100000"]
    running = subprocess.Popen(
        command, env={**os.environ, "DATABASE_URL": database}, stdout=subprocess.DEVNULL
    )
    try:
        eventually(lambda: _explorers(connection))
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(seconds)  # in the midst of it, at various moments
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
    finally:
        running.kill()
        running.wait()
    assert databases_named(connection, "ticketsvc_explore_") == set()


def test_the_database_of_a_killed_run_goes_with_the_next_one(cli, database, connection, eventually):
    command = [sys.executable, "-m", "ticketsvc", "explore", "--buyers", "3", "--sample", "100000"]
    running = subprocess.Popen(
        command, env={**os.environ, "DATABASE_URL": database}, stdout=subprocess.DEVNULL
    )
    eventually(lambda: _explorers(connection))
    running.kill()
    running.wait()
    eventually(lambda: not _explorers(connection))
    [left] = databases_named(connection, "ticketsvc_explore_")
    assert explore(cli, database, "--allocator", "range").returncode == 0
    assert left not in databases_named(connection, "ticketsvc_explore_")


def _explorers(connection):
    return connection.execute(
        "SELECT FROM pg_stat_activity WHERE application_name = 'ticketsvc-explore'"
    ).fetchall()


def test_every_id_that_is_shown_can_be_replayed_twice_over(cli, database):
    case = ("--allocator", "row_lock", "--total", "16", "--json")
    found = json.loads(explore(cli, database, *case).stdout)
    for word in found["examples"].values():
        one, again = (explore(cli, database, *case, "--replay", word) for _ in range(2))
        assert one.stdout == again.stdout
        told = json.loads(one.stdout)
        assert told["id"] == word
        assert {step["buyer"] for step in told["steps"]} == {"A", "B"}
        assert all(step["ledger after it"] for step in told["steps"])


def test_a_replay_for_people(cli, database):
    ended = explore(cli, database, "--allocator", "naive_bulk", "--replay", "2b")
    assert ended.returncode == 1
    for words in ("read_pool", "available 8", "duplicate", "A: 1-8", "B: 1-8"):
        assert words in ended.stdout


def test_beside_the_isolation_tester(cli, database):
    ended = explore(
        cli, database, "--allocator", "naive_bulk", "--beside-isolationtester", "--json"
    )
    found = json.loads(ended.stdout)
    assert found["isolationtester_permutations"] == 20
    assert found["ratio_accounted"] > 0


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
        (["--allocator", "range", "--beside-isolationtester"], "naive_bulk"),
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
