"""The command line: exit codes, JSON, one line for what is wrong."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import psycopg
import pytest
from aiohttp import web

from tests.support.commands import error_line, json_of
from tests.support.web_servers import serve_beside
from ticketsvc.cli.exit_codes import CLOSED_PIPE
from ticketsvc.database.schemas import SCHEMAS
from ticketsvc.database.seeding import SIX_EVENTS, reset_event
from ticketsvc.lab.experiments.overlap import run_overlapping
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.history import Attempt, recording
from ticketsvc.lab.workload.plan import Workload

VERDICT_KEYS = {
    "event",
    "total",
    "available",
    "issued",
    "unique",
    "duplicates",
    "oversold",
    "violations",
}


# seed


def test_seed(server, cli_here):
    with server.clone("template0") as url:
        rows = json_of(cli_here("seed", "--json", DATABASE_URL=url))
        assert all(row.keys() >= VERDICT_KEYS and not row["violations"] for row in rows)
        assert [(row["schema"], row["event"], row["total"], row["issued"]) for row in rows] == [
            (schema, seed.event, seed.total, seed.sold) for schema in SCHEMAS for seed in SIX_EVENTS
        ]


def test_seed_one_event(database, connection, cli_here):
    reset_event(connection, "fixed", "OTHER", 80, 8)
    rows = json_of(
        cli_here("seed", "--event", "E", "--total", "8", "--json", DATABASE_URL=database)
    )
    assert [(row["event"], row["available"]) for row in rows] == [("E", 8), ("E", 8)]
    more = ("--event", "E", "--total", "16", "--schema", "fixed", "--json")
    json_of(cli_here("seed", *more, DATABASE_URL=database))
    assert read_ledger(connection, "original", "E")[0].total == 8
    assert {ledger.event for ledger in read_ledger(connection, "fixed")} == {"E", "OTHER"}


def test_seed_judges_no_setting_that_only_a_service_uses(database, cli_here):
    seed = ("seed", "--event", "E", "--total", "8", "--json")
    json_of(cli_here(*seed, DATABASE_URL=database, PORT="abc", TICKETSVC_POOL_SIZE="0"))


def test_seed_leaves_a_foreign_schema_alone_unless_told(database, connection, cli_here):
    connection.execute("DROP SCHEMA fixed CASCADE; CREATE SCHEMA fixed")
    connection.execute("CREATE TABLE fixed.theirs (id integer)")
    assert "use another database" in error_line(cli_here("seed", DATABASE_URL=database))
    connection.execute("SELECT FROM fixed.theirs")
    json_of(cli_here("seed", "--recreate", "--json", DATABASE_URL=database))


def test_seed_for_people(database, cli_here):
    result = cli_here("seed", "--event", "E", "--total", "8", DATABASE_URL=database)
    assert result.returncode == 0
    assert "clean" in result.stdout
    assert not result.stderr  # no progress where there is no terminal


# stress and audit


@pytest.fixture
async def fault(database, connection, serve, tmp_path):
    """Sell 8 tickets 30 times, and return the history's file."""
    reset_event(connection, "original", "E", 8)
    url = serve(database, "naive").url
    workload = Workload("E", 30, concurrency=30)
    history, _ = await run_overlapping(database, [url], workload, "original", writers=10)
    return record(tmp_path, history)


def record(folder, attempts):
    with recording(folder / "history.jsonl") as write:
        for attempt in attempts:
            write(attempt)
    return folder / "history.jsonl"


@pytest.fixture
def sold(connection, tmp_path):
    """Sell 3 purchases of event E in `fixed`, and return the history's file."""
    reset_event(connection, "fixed", "E", 80, 24)
    connection.execute(
        "UPDATE fixed.ticket_allocations SET user_id = 'buyer-0badcafe-' || (end_ticket / 8)"
    )
    return record(tmp_path, [bought(number) for number in (1, 2, 3)])


def bought(number):
    tickets = tuple(range(8 * number - 7, 8 * number + 1))
    name = f"0badcafe-{number}"
    return Attempt(name, "http://h", f"buyer-{name}", "E", 8, 0.0, 1.0, "ok", 200, tickets)


def audit(cli, database, *arguments, **history):
    given = [part for name, file in history.items() for part in (f"--{name}", str(file))]
    return cli("audit", *arguments, *given, DATABASE_URL=database)


def test_audit_of_the_fault(fault, database, cli_here):
    audit = ("audit", "--schema", "original", "--history", str(fault))
    (row,) = json_of(cli_here(*audit, "--json", DATABASE_URL=database), 1)
    assert row.keys() >= VERDICT_KEYS
    figures = ("event", "issued", "unique", "duplicates", "available", "oversold", "status")
    assert [row[name] for name in figures] == ["E", 240, 8, 232, -232, True, "violated"]
    kinds = {violation["kind"] for violation in row["violations"]}
    assert kinds == {"oversold", "duplicate", "negative_stock"}
    assert {violation["cause"] for violation in row["violations"]} == {"race"}
    bought = {json.loads(line)["purchase"] for line in fault.read_text().splitlines()}
    for violation in row["violations"]:
        assert len(violation["purchases"]) == 2
        assert set(violation["purchases"]) < bought
    words = cli_here(*audit, DATABASE_URL=database)
    assert words.returncode == 1
    assert "original E: duplicate: 232 surplus copies" in words.stdout
    assert f"shown by {', '.join(row['violations'][0]['purchases'])}; cause: race" in words.stdout


def test_stress_of_several_addresses_and_a_clean_audit(
    database, connection, serve, cli_here, tmp_path
):
    reset_event(connection, "fixed", "E", 80)
    url = serve(database, "range").url
    urls = ("--url", url, "--url", url.replace("127.0.0.1", "localhost"))
    history = tmp_path / "h"
    answer = json_of(cli_here("stress", *urls, "--event", "E", "--history", str(history), "--json"))
    assert (answer["successes"], answer["refused"], answer["tickets"]) == (10, 20, 80)
    assert (answer["unique"], answer["duplicates"]) == (80, 0)
    attempts = [json.loads(line) for line in history.read_text().splitlines()]
    assert len({attempt["url"] for attempt in attempts}) == 2
    (row,) = json_of(audit(cli_here, database, "--schema", "fixed", "--json", history=history))
    assert (row["available"], row["issued"], row["violations"]) == (0, 80, [])


def test_audit_sees_that_a_confirmed_ticket_was_lost(sold, database, connection, cli_here):
    reset_event(connection, "original", "E", 80, 16)  # of the same 16 tickets in other hands
    plain = ("--schema", "original", "--json")
    json_of(audit(cli_here, database, *plain))  # by itself the ledger looks well
    (row,) = json_of(audit(cli_here, database, *plain, history=sold), 1)
    assert [violation["kind"] for violation in row["violations"]] == ["acknowledged_missing"]


def test_audit_with_a_history_that_was_cut_short(sold, database, cli_here):
    """What the others were told nobody knows: not clean, though no violation shows."""
    json_of(audit(cli_here, database, "--schema", "fixed", "--json", history=sold))
    sold.write_text("".join(sold.read_text().splitlines(keepends=True)[:2]))
    told = audit(cli_here, database, "--schema", "fixed", history=sold)
    assert "could not tell" in error_line(told, 3)
    (row,) = json_of(audit(cli_here, database, "--schema", "fixed", "--json", history=sold), 3)
    assert (row["status"], row["violations"]) == ("unknown", [])
    assert "history lacks" in row["inconclusive"][0]


def test_audit_of_a_history_judges_the_schema_and_the_events_that_it_sold(
    sold, database, connection, cli_here
):
    """The first audit alone sees that F is oversold."""
    reset_event(connection, "original", "F", 8)
    connection.execute("UPDATE original.ticket_pools SET available = -8 WHERE event_id = 'F'")
    alone = audit(cli_here, database)
    assert "cause: not known without a history" in alone.stdout
    assert "for a cause, audit needs" in alone.stderr
    rows = json_of(audit(cli_here, database, "--json", history=sold))
    assert {(row["event"], len(row["violations"])) for row in rows} == {("E", 0)}
    other = audit(cli_here, database, event="F", history=sold)
    assert "no purchase for event 'F'" in error_line(other, 3)


def test_audit_of_a_history_whose_event_is_gone(database, cli_here, tmp_path):
    refused = replace(bought(1), outcome="refused", status=409, tickets=())
    result = audit(cli_here, database, schema="fixed", history=record(tmp_path, [refused]))
    assert "none of the events E in schema fixed" in error_line(result, 3)


def test_audit_of_a_foreign_database(server, cli_here):
    """Other shapes of a ledger: tests/integration/ledger."""
    with server.clone("template0") as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE ticket_pools (event_id text, total integer, available integer);"
            "CREATE TABLE issued_tickets (event_id text, user_id text, ticket_number integer);"
            "INSERT INTO ticket_pools VALUES ('E', 16, 8)"
        )
        issue = "INSERT INTO issued_tickets SELECT 'E', 'u', n FROM generate_series(1, 8) AS n"
        connection.execute(issue)
        audit = ("audit", "--database-url", url, "--schema", "public", "--json")
        (row,) = json_of(cli_here(*audit))
        assert (row["schema"], row["issued"]) == ("public", 8)
        connection.execute(issue)
        (row,) = json_of(cli_here(*audit), 1)
        assert row["duplicates"] == 8
        ours = "SELECT FROM pg_namespace WHERE nspname IN ('original', 'fixed')"
        assert connection.execute(ours).fetchall() == []  # nothing of ours was put there


def stress(cli, tmp_path, *urls, purchases=4, options=()):
    """Run `stress`, a purchase at a time, and return the result."""
    given = [part for url in urls for part in ("--url", url)]
    more = ("--event", "E", "--purchases", str(purchases), "--history", str(tmp_path / "h"))
    return cli("stress", *given, *more, *options, "--concurrency", "1", "--json")


def test_stress_of_a_service_that_is_not_ours(cli_here, tmp_path):
    """Other paths, other status codes: 2xx is sold, and the numbers are the answer's."""
    numbers = iter(range(1, 1000))
    posts = []

    async def purchase(request):
        posts.append(await request.json())
        match len(posts) % 6:
            case 1:
                return web.json_response({"tickets": [next(numbers) for _ in range(8)]}, status=201)
            case 2:
                return web.json_response({"ok": 1, "tickets": [1, 2, 3, 4, 5, 6, 7, 8]})
            case 3:
                return web.json_response({"success": False, "error": "Event not found"}, status=400)
            case 4:
                raise web.HTTPFound("/login")
            case 5:
                return web.Response(status=418, text="a teapot")
        return web.Response(status=500, text="<html>")

    with serve_beside({"/shop/purchase": purchase}) as address:
        url = address.replace("http://", "http://user:geheim@") + "/shop"
        result = stress(cli_here, tmp_path, url, purchases=12)
    answer = json_of(result, 1)
    assert "16 of the numbers sold had been sold before" in result.stderr
    assert (answer["successes"], answer["refused"], answer["unknown"]) == (4, 8, 0)
    assert (answer["tickets"], answer["unique"], answer["duplicates"]) == (32, 16, 16)
    assert answer["statuses"] == {"200": 2, "201": 2, "302": 2, "400": 2, "418": 2, "500": 2}
    assert len(posts) == len({post["userId"] for post in posts}) == 12
    assert {(post["eventId"], post["quantity"]) for post in posts} == {("E", 8)}
    assert "geheim" not in result.stdout + result.stderr + (tmp_path / "h").read_text()


NOBODY = "http://127.0.0.1:1"
DEAD = "postgresql://postgres:geheim@127.0.0.1:1/tickets"


async def hang_up(request):
    request.transport.abort()
    return web.Response()


async def refuse(_):
    return web.json_response({"error": "Event not found"}, status=404)


async def sell_without_numbers(_):
    return web.json_response({"seats": [1, 2]})


# The exit code, four purchases counted by outcome, and what is said.
ANSWERS = {
    # No answer is an unknown outcome, never a refusal.
    hang_up: (3, {"unknown": 2, "failed": 2}, "2 purchases could not be sent"),
    refuse: (1, {"refused": 4}, "nothing was sold"),
    sell_without_numbers: (3, {"successes": 4}, "4 purchases were sold without numbers"),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.items())
def test_stress_counts_each_outcome_and_says_what_it_means(cli_here, tmp_path, answer, expected):
    code, counts, words = expected
    with serve_beside({"/purchase": answer}) as url:
        result = stress(cli_here, tmp_path, url, *[NOBODY] * ("failed" in counts))
    said = json_of(result, code)
    outcomes = {name: said[name] for name in ("successes", "refused", "unknown", "failed")}
    assert {name: many for name, many in outcomes.items() if many} == counts
    assert words in result.stderr
    if answer is refuse:
        assert said["first_refusal"].endswith("/purchase answered 404: Event not found")


def test_stress_judges_a_purchase_by_its_last_attempt(cli_here, tmp_path):
    """Its service ends in the middle of it, cannot be reached, and then sells under its key."""
    seen = []

    async def sell_when_asked_again(request):
        seen.append(request.headers["Idempotency-Key"])
        if seen.count(seen[-1]) == 1:
            return await hang_up(request)
        return web.json_response({"tickets": [*range(8 * len(seen), 8 * len(seen) + 8)]})

    with serve_beside({"/purchase": sell_when_asked_again}) as url:
        result = stress(cli_here, tmp_path, url, NOBODY, purchases=1, options=["--keys"])
    history = (tmp_path / "h").read_text()
    assert [history.count(f'"{one}"') > 0 for one in ("unknown", "failed", "ok")] == [True] * 3
    assert (json_of(result, 0)["successes"], result.stderr) == (1, "")


def test_stress_of_nobody(cli_here, tmp_path):
    result = stress(cli_here, tmp_path, NOBODY)
    error_line(result)
    answer = json.loads(result.stdout)
    assert (answer["failed"], answer["unknown"], answer["refused"]) == (4, 0, 0)


# What an audit cannot tell


def test_no_ledger_there(server, cli_here):
    with server.clone("template0") as url:
        for schema in ((), ("--schema", "public"), ("--schema", "nowhere")):
            result = cli_here("audit", "--json", "--database-url", url, *schema)
            assert "could not tell" in error_line(result, 3)
            told = json.loads(result.stdout)
            assert (bool(told["error"]), told["code"]) == (True, "could_not_tell")


def test_no_database_there(cli_here):
    audit = ("audit", "--json")
    for result in (cli_here(*audit, "--database-url", DEAD), cli_here(*audit, DATABASE_URL=DEAD)):
        assert "could not tell" in error_line(result, 3)
        assert json.loads(result.stdout)["code"] == "no_database"
        assert "geheim" not in result.stdout + result.stderr


def test_no_such_event(database, cli_here):
    for arguments, words in ((), "no event"), (("--event", "NONE"), "NONE"):
        assert words in error_line(cli_here("audit", *arguments, DATABASE_URL=database), 3)


# What cannot be done

AT_DEAD = f"DATABASE_URL={DEAD} "
# What is typed, behind variables of its own, and what the error names.
WRONG = {
    "nonsense": "No such command 'nonsense'",
    "audit --nonsense": "No such option '--nonsense'",
    "db nonsense": "No such command 'nonsense'",
    "stress": "needs the file of a scenario, or --event",
    "stress --event E --purchases 0": "--purchases",
    "stress --event E --quantity eight": "--quantity",
    "stress --event E --url ftp://u:geheim@h": "--url 'h'",
    "stress --event E --url http://xn--/": "--url 'http://xn--/': must look like",
    "stress --event E --url http://h/x?y=1": "--url 'http://h/x?y=1': must look like",
    "stress --event E --timeout nan": "--timeout",
    "stress --event E --retry-for nan": "--retry-for",
    "serve --allocator nonsense": "--allocator 'nonsense'",
    "serve --allocator range --schema original": "range works on fixed",
    "serve --port 65536": "--port",
    "serve --host ' '": "--host is empty",
    "PORT=three serve": "environment variable PORT",
    f"TICKETSVC_HOME={__file__} db start": "set TICKETSVC_HOME to another folder",
    f"TICKETSVC_HOME={__file__}/home db start": "set TICKETSVC_HOME to another folder",
    "seed --event ''": "--event is empty",
    "seed --schema ''": "--schema is empty",
    "seed --total ''": "--total is empty",
    "faults --kind fire": "--kind fire",
    "faults --times 0": "--times",
    "faults --allocator naive": "--allocator naive",
    "overload --times nan": "--times",
    "overload --seconds nan": "--seconds",
    f"{AT_DEAD}serve --port 0": "cannot be reached",
    f"{AT_DEAD}seed --event E": "--event and --total go together",
    f"{AT_DEAD}seed --total 8": "--event and --total go together",
    f"{AT_DEAD}seed --recreate --event E --total 8": "--recreate drops every event",
    f"{AT_DEAD}expand --rate inf": "--rate",
    f"{AT_DEAD}seed": "cannot be reached",
    f"{AT_DEAD}seed --schema nonsense": "--schema 'nonsense'",
    f"{AT_DEAD}bench": "cannot be reached",
    f"{AT_DEAD}audit --history none.jsonl": "history none.jsonl: cannot be read",
    f"{AT_DEAD}db start": "unset DATABASE_URL",
    "DATABASE_URL=postgresql://u:geheim@h:port/x seed": "",
}


@pytest.mark.parametrize(("typed", "words"), WRONG.items())
def test_wrong(cli_here, typed, words):
    given = shlex.split(typed)
    environment = dict(word.split("=", 1) for word in given if re.match("[A-Z_]+=", word))
    result = cli_here(*given[len(environment) :], **environment)
    assert words in error_line(result)
    assert not result.stdout
    assert "geheim" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["--help", "seed", "seed --json"])
def test_an_output_that_nobody_reads_is_no_violation(database, command):
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "ticketsvc", *command.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": database},
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (CLOSED_PIPE, b"")


@pytest.mark.parametrize("closed", ["0", "1", "0, 1"])
def test_a_command_whose_streams_are_closed_does_its_work(database, closed):
    """As a supervisor may start it; the first sockets would take their places."""
    command = [sys.executable, "-m", "ticketsvc", "explore", "--allocator", "range"]
    program = f"import os; [os.close(n) for n in ({closed},)]; os.execv({command[0]!r}, {command})"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={**os.environ, "DATABASE_URL": database},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("command", [[], ["serve"], ["seed"], ["stress"], ["audit"], ["db"]])
def test_help(cli_here, command):
    result = cli_here(*command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: ticketsvc")


def test_a_bad_history_is_named(database, cli_here, tmp_path):
    (tmp_path / "h").write_text("{}\n")
    assert "line 1" in error_line(cli_here("audit", "--history", "h", DATABASE_URL=database))


def test_no_command_prints_the_password(server, database, connection, cli_here):
    said = [
        cli_here("seed", "--event", "F", "--total", "8", DATABASE_URL=database),
        cli_here("audit", DATABASE_URL=database),
        cli_here("audit", "--database-url", database, "--json"),
        cli_here("audit", "--schema", "nowhere", DATABASE_URL=database),
        cli_here("audit", "--database-url", database + "_none"),
    ]
    assert [result.returncode for result in said] == [0, 0, 0, 3, 3]
    assert server.server.password not in "".join(each.stdout + each.stderr for each in said)
