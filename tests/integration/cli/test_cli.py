"""The command line, in processes of their own: exit codes, JSON, one line for what is wrong."""
# ruff: noqa: PLR0917, S608 - fixtures arrive by name; statements are this file's own words

import asyncio
import json
import sys
from pathlib import Path

import psycopg
import pytest
from aiohttp import web

from tests.support.commands import error_line, json_of
from tests.support.web_servers import serve_app
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SCHEMAS, SIX_EVENTS, reset_event
from ticketsvc.lab.experiments.overlap import run_overlapping
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.history import recording
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


def test_seed(server, cli):
    with server.clone("template0") as url:
        rows = json_of(cli("seed", "--json", DATABASE_URL=url))
        assert all(row.keys() >= VERDICT_KEYS and not row["violations"] for row in rows)
        assert [(row["schema"], row["event"], row["total"], row["issued"]) for row in rows] == [
            (schema, seed.event, seed.total, seed.sold) for schema in SCHEMAS for seed in SIX_EVENTS
        ]


def test_seed_one_event(database, connection, cli):
    reset_event(connection, "fixed", "OTHER", 80, 8)
    rows = json_of(cli("seed", "--event", "E", "--total", "8", "--json", DATABASE_URL=database))
    assert [(row["event"], row["available"]) for row in rows] == [("E", 8), ("E", 8)]
    json_of(
        cli(
            *("seed", "--event", "E", "--total", "16", "--schema", "fixed", "--json"),
            DATABASE_URL=database,
        ),
        0,
    )
    assert read_ledger(connection, "original", "E")[0].total == 8
    assert {ledger.event for ledger in read_ledger(connection, "fixed")} == {"E", "OTHER"}


def test_seed_leaves_a_foreign_schema_alone_unless_told(database, connection, cli):
    connection.execute("DROP SCHEMA fixed CASCADE; CREATE SCHEMA fixed")
    connection.execute("CREATE TABLE fixed.theirs (id integer)")
    assert "use another database" in error_line(cli("seed", DATABASE_URL=database))
    connection.execute("SELECT FROM fixed.theirs")
    json_of(cli("seed", "--recreate", "--json", DATABASE_URL=database))


def test_seed_for_people(database, cli):
    result = cli("seed", "--event", "E", "--total", "8", DATABASE_URL=database)
    assert result.returncode == 0
    assert "clean" in result.stdout
    assert not result.stderr  # no progress where there is no terminal


# stress and audit


@pytest.fixture
def stressed(database, connection, serve, cli, tmp_path):
    """Run `stress` against services of one allocator; return its answer and the history."""

    def run(allocator, total, *arguments, services=1, code=0):
        schema = ALLOCATORS[allocator].mechanism.schemas[0]
        reset_event(connection, schema, "E", total)
        urls = [serve(database, allocator).url for _ in range(services)]
        history = tmp_path / "history.jsonl"
        result = cli(
            *("stress", *(part for url in urls for part in ("--url", url))),
            *("--event", "E", "--history", str(history), "--json", *arguments),
        )
        return json_of(result, code), history

    return run


@pytest.fixture
async def fault(database, connection, serve, tmp_path):
    """Sell 8 tickets 30 times, and return the history's file."""
    reset_event(connection, "original", "E", 8)
    url = serve(database, "naive").url
    workload = Workload("E", 30, concurrency=30)
    burst = await run_overlapping(database, [url], workload, "original", writers=10)
    with recording(tmp_path / "history.jsonl") as record:
        for attempt in burst.history:
            record(attempt)
    return tmp_path / "history.jsonl"


def test_audit_of_the_fault(fault, database, cli):
    history = fault
    audit = ("audit", "--schema", "original", "--history", str(history))
    (row,) = json_of(cli(*audit, "--json", DATABASE_URL=database), 1)
    assert row.keys() >= VERDICT_KEYS
    assert (row["event"], row["issued"], row["unique"], row["duplicates"], row["available"]) == (
        "E",
        240,
        8,
        232,
        -232,
    )
    assert row["oversold"] is True
    kinds = {violation["kind"] for violation in row["violations"]}
    assert kinds == {"oversold", "duplicate", "negative_stock"}
    assert row["status"] == "violated"
    assert {violation["cause"] for violation in row["violations"]} == {"race"}
    bought = {json.loads(line)["purchase"] for line in history.read_text().splitlines()}
    for violation in row["violations"]:
        assert len(violation["purchases"]) == 2
        assert set(violation["purchases"]) < bought
    words = cli(*audit, DATABASE_URL=database)
    assert words.returncode == 1
    assert "original E: duplicate: 232 tickets" in words.stdout
    assert f"shown by {', '.join(row['violations'][0]['purchases'])}; cause: race" in words.stdout


def test_stress_of_several_services_and_a_clean_audit(stressed, database, cli):
    answer, history = stressed("range", 80, services=2)
    assert (answer["successes"], answer["refused"], answer["tickets"]) == (10, 20, 80)
    assert (answer["unique"], answer["duplicates"]) == (80, 0)
    attempts = [json.loads(line) for line in history.read_text().splitlines()]
    assert len({attempt["url"] for attempt in attempts}) == 2
    audit = ("audit", "--schema", "fixed", "--history", str(history), "--json")
    (row,) = json_of(cli(*audit, DATABASE_URL=database))
    assert (row["available"], row["issued"], row["violations"]) == (0, 80, [])


def test_audit_sees_that_a_confirmed_ticket_was_lost(stressed, database, connection, cli):
    _, history = stressed("naive", 80, "--purchases", "2", "--concurrency", "1")
    connection.execute("DELETE FROM original.issued_tickets WHERE ticket_number > 8")
    connection.execute("UPDATE original.ticket_pools SET available = available + 8")
    plain = ("audit", "--schema", "original", "--json")
    json_of(cli(*plain, DATABASE_URL=database))  # by itself the ledger looks well
    (row,) = json_of(cli(*plain, "--history", str(history), DATABASE_URL=database), 1)
    assert [v["kind"] for v in row["violations"]] == ["acknowledged_missing"]


def test_audit_with_a_history_that_was_cut_short(stressed, database, cli):
    """What was told to the others nobody knows: not clean, though nothing wrong is to be seen."""
    _, history = stressed("range", 80, "--purchases", "3")
    audit = ("audit", "--schema", "fixed", "--history", str(history))
    json_of(cli(*audit, "--json", DATABASE_URL=database))
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:2]))
    result = cli(*audit, "--json", DATABASE_URL=database)
    assert "could not tell" in error_line(cli(*audit, DATABASE_URL=database), 3)
    assert result.returncode == 3
    (row,) = json.loads(result.stdout)
    assert (row["status"], row["violations"]) == ("unknown", [])
    assert "history lacks" in row["inconclusive"][0]


def test_audit_with_a_history_and_both_schemas(stressed, database, cli):
    """A history tells of one schema's sales: the other must not be blamed for lacking them."""
    _, history = stressed("range", 80, "--purchases", "3")
    rows = json_of(cli("audit", "--json", "--history", str(history), DATABASE_URL=database))
    assert not any(row["violations"] for row in rows)


def test_audit_of_one_event_with_a_history_of_another(stressed, database, connection, cli):
    _, history = stressed("range", 80, "--purchases", "3")
    reset_event(connection, "fixed", "F", 80, 8)
    audit = ("audit", "--schema", "fixed", "--event", "F", "--history", str(history))
    assert "no purchase for event 'F'" in error_line(cli(*audit, DATABASE_URL=database), 3)


def test_audit_of_a_history_leaves_other_events_out(stressed, database, connection, cli):
    """The first audit alone sees that F is oversold."""
    _, history = stressed("range", 80, "--purchases", "3")
    reset_event(connection, "original", "F", 8)
    connection.execute("UPDATE original.ticket_pools SET available = -8 WHERE event_id = 'F'")
    assert cli("audit", DATABASE_URL=database).returncode == 1
    rows = json_of(cli("audit", "--json", "--history", str(history), DATABASE_URL=database))
    assert {row["event"] for row in rows} == {"E"}


def test_audit_of_a_history_whose_events_are_gone(stressed, database, connection, cli):
    _, history = stressed("range", 8, "--purchases", "1", "--quantity", "16", code=1)
    connection.execute("DELETE FROM fixed.ticket_pools")
    result = cli("audit", "--schema", "fixed", "--history", str(history), DATABASE_URL=database)
    assert "none of the events E in schema fixed" in error_line(result, 3)


def test_audit_of_an_empty_database(database, cli):
    assert "no event" in error_line(cli("audit", DATABASE_URL=database), 3)


@pytest.mark.parametrize("next_column", ["", ", next_ticket_number integer"])
def test_audit_of_a_foreign_database(server, cli, next_column):
    with server.clone("template0") as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE ticket_pools (event_id varchar(50) PRIMARY KEY, total integer, "
            f"available integer{next_column})"
        )
        connection.execute(
            "CREATE TABLE issued_tickets (id serial, event_id varchar(50), user_id varchar(50), "
            "ticket_number integer, created_at timestamp)"
        )
        connection.execute(
            "INSERT INTO ticket_pools VALUES ('E', 16, 8" + (", 9)" if next_column else ")")
        )
        issue = (
            "INSERT INTO issued_tickets (event_id, user_id, ticket_number) "
            "SELECT 'E', 'u', n FROM generate_series(1, 8) AS n"
        )
        connection.execute(issue)
        audit = ("audit", "--database-url", url, "--schema", "public", "--json")
        (row,) = json_of(cli(*audit))
        assert (row["schema"], row["issued"]) == ("public", 8)
        connection.execute(issue)
        (row,) = json_of(cli(*audit), 1)
        assert row["duplicates"] == 8
        # Nothing of ours was put there.
        (schemas,) = connection.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname IN ('original', 'fixed')"
        ).fetchone()
        assert schemas == 0


async def test_stress_of_a_service_that_is_not_ours(cli, tmp_path):
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

    async def login(_):
        return web.Response(text="please log in")

    app = web.Application()
    app.router.add_post("/shop/purchase", purchase)
    app.router.add_get("/login", login)
    async with serve_app(app) as address:
        url = address.replace("http://", "http://user:geheim@") + "/shop"
        history = tmp_path / "h"
        arguments = ("stress", "--url", url, "--event", "E", "--concurrency", "1", "--json")
        result = await asyncio.to_thread(
            cli, *arguments, "--purchases", "12", "--history", str(history)
        )
    answer = json_of(result)
    assert (answer["successes"], answer["refused"], answer["unknown"]) == (4, 8, 0)
    assert (answer["tickets"], answer["unique"], answer["duplicates"]) == (32, 16, 16)
    assert answer["statuses"] == {"200": 2, "201": 2, "302": 2, "400": 2, "418": 2, "500": 2}
    assert len(posts) == 12
    assert len({post["userId"] for post in posts}) == 12
    assert {(post["eventId"], post["quantity"]) for post in posts} == {("E", 8)}
    assert "geheim" not in result.stdout + result.stderr + history.read_text()


async def test_stress_of_a_service_that_hangs_up(cli, tmp_path):
    """No answer is an unknown outcome, never a refusal."""

    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await asyncio.to_thread(
            cli,
            *("stress", "--url", f"http://127.0.0.1:{port}", "--event", "E", "--purchases", "5"),
            *("--history", str(tmp_path / "h"), "--json"),
        )
    answer = json_of(result, 3)
    assert (answer["successes"], answer["refused"], answer["unknown"]) == (0, 0, 5)


def test_stress_of_nobody(cli, tmp_path):
    result = cli(
        *("stress", "--url", "http://127.0.0.1:1", "--event", "E", "--purchases", "2", "--json"),
        *("--history", str(tmp_path / "h")),
    )
    error_line(result)
    answer = json.loads(result.stdout)
    assert (answer["failed"], answer["unknown"], answer["refused"]) == (2, 0, 0)


async def stress_of(cli, tmp_path, answer, *arguments):
    """Run `stress` against a service that gives one answer, and return the result."""
    app = web.Application()
    app.router.add_post("/purchase", answer)
    async with serve_app(app) as url:
        return await asyncio.to_thread(
            cli,
            "stress",
            "--url",
            url,
            *arguments,
            *("--event", "E", "--purchases", "4"),
            *("--history", str(tmp_path / "h"), "--json"),
        )


async def test_stress_shows_the_first_refusal(cli, tmp_path):
    async def refuse(_):
        return web.json_response({"error": "Event not found"}, status=404)

    result = await stress_of(cli, tmp_path, refuse)
    assert json_of(result, 1)["first_refusal"].endswith("/purchase answered 404: Event not found")
    assert "nothing was sold" in result.stderr


async def test_stress_without_numbers_cannot_tell(cli, tmp_path):
    async def sell(_):
        return web.json_response({"seats": [1, 2]})

    result = await stress_of(cli, tmp_path, sell)
    assert json_of(result, 3)["successes"] == 4
    assert "4 purchases were sold without numbers" in result.stderr


async def test_stress_of_two_services_of_which_one_is_down(
    database, connection, serve, cli, tmp_path
):
    reset_event(connection, "fixed", "E", 80)
    url = serve(database, "range").url
    result = await asyncio.to_thread(
        cli,
        "stress",
        "--url",
        url,
        "--url",
        "http://127.0.0.1:1",
        "--event",
        "E",
        "--json",
        *("--purchases", "4", "--history", str(tmp_path / "h")),
    )
    answer = json_of(result, 3)
    assert (answer["successes"], answer["failed"], answer["keys"]) == (2, 2, True)
    assert "2 purchases could not be sent" in result.stderr


# What an audit cannot tell


def test_no_ledger_there(server, cli):
    with server.clone("template0") as url:
        for schema in ((), ("--schema", "public"), ("--schema", "nowhere")):
            result = cli("audit", "--json", "--database-url", url, *schema)
            assert "could not tell" in error_line(result, 3)
            assert json.loads(result.stdout)["error"]


def test_no_database_there(cli):
    dead = "postgresql://postgres:geheim@127.0.0.1:1/tickets"
    for result in (cli("audit", "--database-url", dead), cli("audit", DATABASE_URL=dead)):
        assert "could not tell" in error_line(result, 3)
        assert "geheim" not in result.stdout + result.stderr


def test_no_such_event(database, cli):
    result = cli("audit", "--event", "NONE", DATABASE_URL=database)
    assert "NONE" in error_line(result, 3)


def test_a_ledger_of_an_unexpected_shape(database, connection, cli):
    connection.execute("CREATE TABLE ticket_pools (event_id text, total integer, available int)")
    connection.execute("CREATE TABLE issued_tickets (event_id text, user_id text)")
    connection.execute("ALTER TABLE issued_tickets ADD ticket_number text")
    connection.execute("INSERT INTO issued_tickets VALUES ('E', 'u', 'A1')")
    assert "could not tell" in error_line(
        cli("audit", "--schema", "public", DATABASE_URL=database), 3
    )


# What cannot be done

DEAD = "postgresql://postgres:geheim@127.0.0.1:1/tickets"
WRONG = {
    "an unknown command": (["nonsense"], {}),
    "an unknown option": (["audit", "--nonsense"], {}),
    "an unknown db command": (["db", "nonsense"], {}),
    "stress without an event": (["stress"], {}),
    "stress of no purchases": (["stress", "--event", "E", "--purchases", "0"], {}),
    "stress of a quantity in words": (["stress", "--event", "E", "--quantity", "eight"], {}),
    "stress of a file": (["stress", "--event", "E", "--url", "file:///etc/passwd"], {}),
    "stress of a host alone": (["stress", "--event", "E", "--url", "127.0.0.1:3000"], {}),
    "stress with a password": (["stress", "--event", "E", "--url", "ftp://u:geheim@h"], {}),
    "serve by an unknown allocator": (["serve", "--allocator", "nonsense"], {}),
    "serve on the wrong schema": (["serve", "--allocator", "range", "--schema", "original"], {}),
    "serve on no port": (["serve", "--port", "65536"], {}),
    "serve with PORT in words": (["serve"], {"PORT": "three"}),
    "serve without a database": (["serve", "--port", "0"], {"DATABASE_URL": DEAD}),
    "seed an event without a total": (["seed", "--event", "E"], {"DATABASE_URL": DEAD}),
    "seed a total without an event": (["seed", "--total", "8"], {"DATABASE_URL": DEAD}),
    "seed without a database": (["seed"], {"DATABASE_URL": DEAD}),
    "seed nowhere": (["seed"], {"DATABASE_URL": "postgresql://u:geheim@h:port/x"}),
    "seed an unknown schema": (["seed", "--schema", "nonsense"], {"DATABASE_URL": DEAD}),
    "audit with no history there": (["audit", "--history", "none.jsonl"], {"DATABASE_URL": DEAD}),
    "start a server beside DATABASE_URL": (["db", "start"], {"DATABASE_URL": DEAD}),
}


@pytest.mark.parametrize(("arguments", "environment"), WRONG.values(), ids=WRONG)
def test_wrong(cli_here, arguments, environment):
    result = cli_here(*arguments, **environment)
    error_line(result)
    assert not result.stdout
    assert "geheim" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--event", "E", "--total", "-1"], ["--event", "E" * 51, "--total", "8"]],
)
def test_wrong_seeds(database, connection, cli_here, arguments):
    error_line(cli_here("seed", *arguments, DATABASE_URL=database))
    assert read_ledger(connection, "fixed") == []


@pytest.mark.parametrize("command", [[], ["serve"], ["seed"], ["stress"], ["audit"], ["db"]])
def test_help(cli_here, command):
    result = cli_here(*command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: ticketsvc")


def test_a_bad_history_is_named(database, cli, tmp_path):
    (tmp_path / "h").write_text("{}\n")
    assert "line 1" in error_line(cli("audit", "--history", "h", DATABASE_URL=database))


def test_no_command_prints_the_password(server, database, connection, cli, serve, tmp_path):
    password = server.server.password
    reset_event(connection, "fixed", "E", 8)
    url = serve(database, "range").url
    said = [
        cli("seed", "--event", "F", "--total", "8", DATABASE_URL=database),
        cli("audit", DATABASE_URL=database),
        cli("audit", "--database-url", database, "--json"),
        cli("audit", "--schema", "nowhere", DATABASE_URL=database),
        cli("audit", "--database-url", database + "_none"),
        cli("stress", "--url", url, "--event", "E", "--history", str(tmp_path / "h")),
    ]
    assert [result.returncode for result in said] == [0, 0, 0, 3, 3, 0]
    assert password not in "".join(result.stdout + result.stderr for result in said)


def test_without_database_url_the_embedded_server_is_used(cli, open_folder):
    """And it is the same one the next time, with nothing of PostgreSQL on PATH."""
    environment = {
        "TICKETSVC_HOME": str(open_folder / "h"),
        "PATH": str(Path(sys.executable).parent),
    }
    json_of(cli("seed", "--json", **environment))
    rows = json_of(cli("audit", "--json", **environment))
    assert len(rows) == 12


@pytest.mark.parametrize(
    "arguments",
    [
        ("overload", "--times", "nan"),
        ("overload", "--seconds", "nan"),
        ("stress", "--event", "E", "--timeout", "nan"),
        ("stress", "--event", "E", "--retry-for", "nan"),
        ("bench", "--seconds", "nan"),
        ("serve", "--host", ""),
    ],
)
def test_what_is_no_number_and_no_host_is_refused(cli_here, arguments):
    assert arguments[-2] in error_line(cli_here(*arguments))


@pytest.mark.parametrize("option", ["--event", "--schema", "--total"])
def test_an_empty_option_is_named(cli_here, option):
    answer = cli_here("seed", option, "")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"{option} is empty" in answer.stderr
