"""`explore`, `stress` and `audit` on a scenario: what they print, and how they end."""

import json
import os
import re

import psutil
import pytest

from tests.support.clusters import databases_named
from tests.support.commands import error_line, json_of
from tests.support.processes import gone
from tests.support.scenarios import by_psql, by_python, by_service, scenario, write
from tests.support.waiting import eventually
from ticketsvc.lab.explore.scheduler import Scheduler
from ticketsvc.lab.scenarios import clients, service


@pytest.fixture
def command(cli_here, tmp_path, database, connection):
    """Run a command on a scenario of this text; afterwards nothing of it may be left."""
    before = psutil.Process().children()

    def run(name, text, *arguments):
        write(tmp_path, text)
        (tmp_path / "empty.py").write_text("")
        return cli_here(name, "scenario.toml", *arguments, DATABASE_URL=database)

    yield run
    assert not databases_named(connection, "ticketsvc_")
    assert psutil.Process().children() == before


def test_a_race_for_machines_whose_examples_can_be_replayed(command):
    ended = command("explore", by_python("naive"), "--json")
    found = json_of(ended, code=1)
    assert ended.stderr == ""
    assert found.keys() == {
        *("schedules", "classes", "clean", "violating", "violations", "refused", "blocked"),
        *("retries", "sqlstates", "complete", "executed_per_second", "examples", "reasons"),
    }
    assert (found["schedules"], found["clean"], found["violations"]) == (
        24,
        2,
        {"no seat twice": 22},
    )
    examples = found["examples"]
    assert examples.keys() == {"clean", "no seat twice"}
    replayed = command("explore", by_python("naive"), "--replay", examples["no seat twice"])
    assert "no seat twice" in replayed.stdout
    replayed = command("explore", by_python("naive"), "--json", "--replay", examples["clean"])
    assert json_of(replayed)["id"] == examples["clean"]


def test_a_race_for_people(command):
    ended = command("explore", by_python("naive"))
    assert ended.returncode == 1
    for words in (
        "buyer 1, buyer 2; read committed",
        "The smallest schedule that violates",
        "violated: no seat twice: seat = 1, count = 2",
        "cause: check-then-act on a stale read: buyer 1 read events (seats = 1) at step 1",
        "Next: --try-fixes",
    ):
        assert words in ended.stdout
    (shown,) = re.findall(r"that violates, (\w+):", ended.stdout)
    assert f"violates 'no seat twice': --replay {shown}\n" in ended.stdout
    _, _, transcript = ended.stdout.partition("The smallest")
    assert max(map(len, transcript.splitlines())) <= 100


def test_a_script_of_psql_branches(command):
    script = """
        SELECT seats > 0 AS free FROM events \\\\gset
        \\\\if :free
        INSERT INTO bookings VALUES (1);
        \\\\endif
    """
    assert json_of(command("explore", by_psql(script), "--json"), code=1)["schedules"] == 20


def test_a_fixed_one_is_exit_0(command):
    ended = command("explore", by_python("fixed"))
    assert ended.returncode == 0
    assert "All 8 schedules are covered, and every one is clean." in ended.stdout


def test_a_stock_that_is_too_small_for_all_is_said(command):
    script = """DO $$ BEGIN
        PERFORM FROM events FOR UPDATE;
        IF EXISTS (SELECT FROM bookings) THEN RAISE 'sold out'; END IF;
        INSERT INTO bookings VALUES (1);
    END $$;"""
    ended = command("explore", by_psql(script))
    assert ended.returncode == 0
    assert "every one is clean.\nIn each, a client did not succeed." in ended.stdout


def test_without_held_commits_clean_proves_nothing(command):
    assert command("explore", by_python("book_once")).returncode == 1
    ended = command("explore", by_python("book_once"), "--no-hold-commits")
    assert ended.returncode == 0
    assert "proves nothing about statements that overlap" in " ".join(ended.stdout.split())


def test_fixes_are_ranked_with_a_legend_and_a_reason(command):
    fix = '[[fix]]\nname = "one booking a seat"\nsql = "ALTER TABLE bookings ADD UNIQUE (seat)"\n'
    ended = command("explore", by_python("book_once") + fix, "--try-fixes")
    assert ended.returncode == 1
    said = " ".join(ended.stdout.split())
    assert "Needless: a client was refused that would have been served" in said
    assert "one booking a seat: never wrong" in said
    assert "buyer 1 INSERT bookings, buyer 2 INSERT bookings, buyer" in said


def test_two_scenarios_side_by_side(command, tmp_path):
    write(tmp_path, by_python("fixed"), "fixed.toml")
    found = json_of(command("explore", by_python("naive"), "--compare", "fixed.toml", "--json"))
    assert found["before"]["violating"] == 22
    assert found["after"]["violating"] == 0


def test_a_sample_and_a_limit_prove_nothing(command):
    for option, words in (("--sample", "A sample cannot prove"), ("--limit", "Not every schedule")):
        ended = command("explore", by_python("fixed"), option, "2")
        assert ended.returncode == 3
        assert words in ended.stdout
    assert "could not tell: the search stopped at its limit" in error_line(ended, code=3)
    assert "clean" not in ended.stdout


def test_a_limit_reached_after_a_violation_says_that_there_may_be_more(command):
    ended = command("explore", by_python("naive"), "--limit", "3", "--json")
    assert json_of(ended, code=1)["complete"] is False
    line = error_line(ended, code=1)
    assert "violations found; the search stopped at its limit of 3, so the counts are" in line


def test_the_only_schedule(command):
    text = by_python("fixed").replace("count = 2", "count = 1")
    assert "The only schedule is covered, and it is clean." in command("explore", text).stdout


def test_bursts_that_are_sure_to_violate(command):
    burst = ("--clients", "3", "--repeat", "2")
    bursts = json_of(command("stress", by_python("book"), *burst, "--json"), code=1)
    assert [(each["clients"], each["clean"]) for each in bursts] == [(3, False)] * 2
    ended = command("stress", by_python("book"), *burst)
    assert ended.returncode == 1
    assert "after burst 2: violated: no seat twice: seat = 1, count = 3" in ended.stdout


def test_a_burst_in_which_nobody_succeeds_shows_nothing(command):
    ended = command("stress", by_service("refuses"))
    assert "no client succeeded" in error_line(ended, code=3)
    assert "was told: 500" in ended.stdout


def test_a_burst_without_answers_cannot_tell(command, monkeypatch):
    monkeypatch.setattr(clients, "CLIENT_TIMEOUT_S", 0.2)
    assert "2 clients have no answer" in error_line(command("stress", by_service("hangs")), code=3)


@pytest.fixture
def live(connection):
    """A database that is sold from; one that writes to it fails the test."""
    connection.execute("CREATE TABLE bookings (seat int)")
    connection.execute("INSERT INTO bookings VALUES (1)")
    yield connection
    assert connection.execute("SELECT min(seat) FROM bookings").fetchone() == (1,)


def test_an_audit_holds_or_not(command, live):
    assert "1 of 1 invariants hold" in command("audit", by_python("naive")).stdout
    live.execute("INSERT INTO bookings VALUES (1)")
    ended = command("audit", by_python("naive"), "--json")
    violated = [{"invariant": "no seat twice", "rows": 1}]
    assert json_of(ended, code=1) == {"invariants": 1, "violated": violated}


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("COMMIT; DELETE FROM bookings", "cannot insert multiple commands"),
        ("DELETE FROM bookings RETURNING 1", "cannot execute DELETE in a read-only transaction"),
        ("UPDATE bookings SET seat = 2", "cannot execute UPDATE in a read-only transaction"),
    ],
)
def test_an_audit_writes_nothing(command, live, sql, words):
    line = error_line(command("audit", by_python("naive", rule=sql)))
    assert f"invariant 'no seat twice': {words}" in line


def test_an_audit_of_a_database_that_is_not_there_cannot_tell(command):
    away = "postgresql://127.0.0.1:1/none"
    ended = command("audit", by_python("naive"), "--database-url", away, "--json")
    line = error_line(ended, code=3)
    assert json.loads(ended.stdout)["code"] == "no_database"
    assert "cannot be reached" in line


# Bad worlds. Each ends in one line, and leaves nothing.

SCHEMA = '[database]\nschema = ["CREATE TABLE bookings (seat int)"]\n'
BAD = {
    "schema": (
        by_python("naive", database='[database]\nschema = ["CREATE TABEL x ()"]'),
        "database.schema: ",
    ),
    "copy": (
        by_python("naive", database=SCHEMA.replace(')"', '); COPY bookings FROM STDIN"')),
        "database.schema: COPY",
    ),
    "copying invariant": (
        by_python("naive", rule="COPY bookings TO STDOUT"),
        "invariant 'no seat twice': COPY",
    ),
    "reset": (
        by_python("naive", database=SCHEMA + 'reset = "TRUNCATE absent"'),
        "database.reset: ",
    ),
    "invariant": (
        by_python("naive", rule="SELECT absent FROM bookings"),
        "invariant 'no seat twice': column",
    ),
    "schema's file": (
        by_python("naive", database='[database]\nschema = ["bad.sql"]'),
        "database.schema (bad.sql, line 2): syntax error",
    ),
    "no select": (by_python("naive", rule="SET jit = off"), "it must be a SELECT"),
    "writes": (by_python("naive", rule="DELETE FROM bookings"), "cannot execute DELETE in a read"),
    "violated before": (
        by_python("naive", rule="SELECT 1"),
        "does not hold before any client acts",
    ),
    "fix": (
        by_python("book") + '[[fix]]\nname = "F"\nsql = "ALTER TABEL x"\n',
        "fix 'F': syntax error",
    ),
    "no program": (by_service("sells", program="absent"), "service.command: absent: No such file"),
    "ends": (by_service("ends"), "it ended with code 1 before it was ready: no licence found"),
    "silent": (by_service("silent"), "service.ready: it was not ready after 2 s at http"),
    "no numbers": (by_service("sells", numbers="tickets"), "numbers 'tickets': the answer has no"),
    "no module": (by_python("absent:buy"), "python 'absent:buy': there is no absent.py"),
    "fails at import": (by_python("service:buy"), "python 'service:buy': KeyError: 'HOW'"),
    "no function": (by_python("empty:buy"), "python 'empty:buy': no function buy"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_scenario_is_one_line_and_leaves_nothing(command, tmp_path, monkeypatch, kind):
    (tmp_path / "bad.sql").write_text("CREATE TABLE bookings (seat int);\nCREATE TABEL x ();\n")
    monkeypatch.setattr(service, "START_TIMEOUT_S", 2.0)
    monkeypatch.delenv("HOW", raising=False)
    text, words = BAD[kind]
    ended = command("explore", text, *["--try-fixes"] * (kind == "fix"))
    line = error_line(ended)
    assert words in line
    assert ".toml: " in line
    assert ended.stdout == ""


UNSEEN = {
    "killed": " got no answer: the service has ended with code 9",
    "hangs": "buyer 1 waits for something that PostgreSQL does not know of",
    "refuses": "no client succeeded in any schedule: that shows nothing; buyer 1 was told: 500",
}


@pytest.mark.parametrize("how", UNSEEN)
def test_a_service_that_misbehaves_is_never_clean(command, monkeypatch, how):
    if how == "hangs":  # the others answer, however busy the machine is
        monkeypatch.setattr(Scheduler, "SETTLE_S", 0.5)
    assert UNSEEN[how] in error_line(command("explore", by_service(how)), code=3)


@pytest.mark.parametrize(
    ("name", "limit"), [("explore", "SETTLE_S"), ("stress", "CLIENT_TIMEOUT_S")]
)
def test_functions_that_wait_for_each_other_end_the_command(command, monkeypatch, name, limit):
    monkeypatch.setattr(Scheduler if name == "explore" else clients, limit, 0.2)
    error_line(command(name, by_python("meet")), code=3)


def test_a_script_with_a_syntax_error_says_so(command):
    line = error_line(command("explore", by_psql("SELEC 1")), code=3)
    assert 'buyer 1 was told: ERROR: syntax error at or near "SELEC"' in line


@pytest.mark.skipif(os.name == "nt", reason="no process groups")
def test_what_a_command_leaves_behind_is_ended(command, tmp_path, monkeypatch):
    monkeypatch.setattr(Scheduler, "SETTLE_S", 0.5)  # it sends no statement
    script = "sleep 60 >&- 2>&- & echo $! > pid"
    client = f'[[client]]\nname = "buyer"\ncommand = ["sh", "-c", "{script}"]\n'
    command("explore", scenario(client))
    left = int((tmp_path / "pid").read_text())
    eventually(lambda: gone(process for process in psutil.process_iter() if process.pid == left))


def test_a_client_of_another_database_is_not_seen(command):
    line = error_line(command("explore", by_psql("\\\\c postgres\nSELECT 1")), code=3)
    assert "buyer 1 is connected to the database postgres, not to that of {database_url}" in line


def test_clients_that_always_fail_are_named_though_others_succeed(command):
    counter = '[[client]]\nname = "counter"\nsql = "SELECT absent"\n'
    booked = by_python("book", rule="SELECT 1 WHERE false")
    line = error_line(command("explore", booked + counter), code=3)
    assert "counter failed in every schedule: counter was told: ERROR:" in line


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("explore absent.toml", "absent.toml: No such file or directory"),
        ("explore scenario.toml --buyers 3", "--buyers belongs to an allocator"),
        ("explore --try-fixes", "--try-fixes belongs to a scenario"),
        ("explore --count buyer=3", "--count belongs to a scenario"),
        ("explore scenario.toml --count buyer", "must look like buyer=3"),
        ("explore scenario.toml --count guest=3", "there are buyer"),
        ("explore scenario.toml --isolation wrong", "--isolation 'wrong': must be one of"),
        ("explore scenario.toml --compare absent.toml", "absent.toml: No such file"),
        ("explore scenario.toml --replay 5 --full", "exclude each other"),
        ("explore scenario.toml --replay 5 --try-fixes", "leave out --try-fixes"),
        ("explore scenario.toml --sample 5 --try-fixes", "leave out --sample"),
        ("explore scenario.toml --replay zz", "no schedule of this scenario"),
        ("stress", "needs the file of a scenario, or --event"),
        ("stress scenario.toml --event E", "--event does not go with a scenario"),
        ("stress --event E --clients 3", "--clients belongs to a scenario"),
        ("audit scenario.toml --schema s", "--schema does not go with a scenario"),
        ("audit scenario.toml", "needs --database-url"),
    ],
)
def test_wrong_options_are_one_line(cli_here, tmp_path, database, typed, words):
    write(tmp_path, by_python("naive"))
    known = {"DATABASE_URL": database} if "--replay" in typed else {}
    assert words in error_line(cli_here(*typed.split(), **known))
