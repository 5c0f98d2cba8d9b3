"""A server process under stress of its own: stopping, a lost database, a full queue, a trace."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter

import psutil
import psycopg
import pytest

from tests.support.buying import BODY, get_status, post_purchase
from tests.support.commands import error_line, start_command
from tests.support.ledgers import verdict_of
from tests.support.locks import blocked_by, hold_pool
from tests.support.raw_http import BUY, connect, read_answer, refuses_connections
from tests.support.waiting import TIMEOUT_S, eventually, soon
from tests.support.web_servers import sales_app, serve_app, serve_sales
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.kept import start_kept
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import UsageError
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.services import running_each, start_service
from ticketsvc.service.state import STATE
from ticketsvc.settings import DatabaseSettings


async def test_a_purchase_in_flight_is_finished_when_the_lifeline_closes(
    database, connection, serve, http
):
    """SIGTERM: see below. SIGINT: see test_workers."""
    reset_event(connection, "original", "E", 80)
    service = serve(database, "naive")
    async with asyncio.TaskGroup() as group:
        with hold_pool(database, "original") as holder:
            purchase = group.create_task(post_purchase(http, service.url))
            await soon(lambda: blocked_by(connection, holder))
            service.process.stdin.close()
            await soon(lambda: refuses_connections(service.url))
            assert not purchase.done()
            assert service.process.poll() is None
        code, answer, _ = await purchase
    assert (code, answer["tickets"]) == (200, list(range(1, 9)))
    assert await asyncio.to_thread(service.process.wait) == 0
    verdict = verdict_of(connection, "original")
    assert (verdict.clean, verdict.issued) == (True, 8)


async def test_new_purchases_are_refused_while_draining(database, connection, http):
    reset_event(connection, "fixed", "E", 80)
    app = sales_app(database, "range", pool_size=1)
    async with serve_app(app) as url:
        assert (await post_purchase(http, url))[0] == 200
        app[STATE].draining = True
        code, answer, headers = await post_purchase(http, url)
        assert (code, answer["code"]) == (503, "draining")
        assert int(headers["Retry-After"]) > 0
        assert await get_status(http, url + "/readyz") == 503
        assert await get_status(http, url + "/healthz") == 200
    assert read_ledger(connection, "fixed")[0].available == 72


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
async def test_stopping_finishes_begun_requests_and_closes_idle_connections(
    database, connection, serve, http
):
    reset_event(connection, "fixed", "E", 80)
    service = serve(database, "range", environment={"TICKETSVC_REQUEST_TIMEOUT_S": "300"})
    idle, _ = kept = await connect(service.url, BUY)
    assert (await read_answer(idle))[0] == 200
    half_head = await connect(service.url, BUY[:20])
    half_body = await connect(service.url, BUY[:-20])
    await soon(lambda: get_status(http, service.url + "/healthz"))
    service.process.send_signal(signal.SIGTERM)
    await soon(lambda: refuses_connections(service.url))
    half_head[1].write(BUY[20:])
    half_body[1].write(BUY[-20:])
    status, refused, fields = await read_answer(half_head[0])
    assert (status, refused["code"], fields["connection"]) == (503, "draining", "close")
    assert (await read_answer(half_body[0]))[0] == 200
    await idle.read()
    assert await asyncio.to_thread(service.process.wait, 60) == 0
    assert read_ledger(connection, "fixed")[0].available == 64
    for _, writer in (kept, half_head, half_body):
        writer.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
async def test_a_request_that_is_never_whole_does_not_hold_up_stopping(database, serve):
    service = serve(database, "range", environment={"TICKETSVC_REQUEST_TIMEOUT_S": "0.5"})
    reader, writer = await connect(service.url, BUY[:-5])
    service.process.send_signal(signal.SIGTERM)
    assert (await read_answer(reader))[0] in (408, 503)  # begun before the signal, or after
    assert await asyncio.to_thread(service.process.wait, TIMEOUT_S) == 0
    writer.close()


def test_a_service_ends_with_the_process_that_started_it(database):
    script = (
        "import os; from ticketsvc.lab.workload.services import start_service\n"
        "service = start_service(os.environ['WHERE'], 'range')\n"
        "print(service.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "WHERE": database},
        capture_output=True,
        check=False,
    )
    pid = int(parent.stdout)
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


async def test_the_database_goes_away_and_comes_back(open_folder, serve, http):
    """While it is away every answer is a 503 with Retry-After; then the service sells again.

    Nobody waits until the time for a connection is up: it is longer than any client here waits.
    """
    environment = {"TICKETSVC_POOL_TIMEOUT_S": "300"}
    place = DatabaseSettings(home=open_folder / "home")
    with start_kept(place) as own:
        with psycopg.connect(own.url, autocommit=True) as connection:
            ensure_schemas(connection)
            reset_event(connection, "fixed", "E", 8000)
        service = serve(own.url, "range", pool_size=2, environment=environment)
        assert (await post_purchase(http, service.url))[0] == 200
        # Purchases that wait in the queue when it goes are answered too. The server may end the
        # lock's holder before those who wait for it: each of two connections can then sell once.
        with (
            hold_pool(own.url) as holder,
            contextlib.closing(psycopg.connect(own.url, autocommit=True)) as watcher,
        ):
            queue = [asyncio.create_task(post_purchase(http, service.url)) for _ in range(6)]
            await soon(lambda: blocked_by(watcher, holder))
            await asyncio.to_thread(own.stop)
        queued = Counter(code for code, _, _ in await asyncio.gather(*queue))
        assert queued.keys() <= {200, 503}
        assert queued[200] <= 2
        codes = set()

        async def nothing_but_unavailable():
            code, answer, headers = await post_purchase(http, service.url)
            assert code == 503
            # No answer asks to repeat a purchase that may have happened.
            assert ("Retry-After" in headers) == (answer["code"] != "outcome_unknown")
            assert "127.0.0.1" not in answer["error"]
            codes.add(answer["code"])
            return answer["code"] == "database_unavailable"

        await soon(nothing_but_unavailable)
        assert codes <= {"database_unavailable", "outcome_unknown"}
        assert await get_status(http, service.url + "/events") == 503
        assert await get_status(http, service.url + "/readyz") == 503
        assert await get_status(http, service.url + "/healthz") == 200

    with start_kept(place) as again:
        assert again.url == own.url

        async def sells():
            return (await post_purchase(http, service.url))[0] == 200

        await soon(sells)
        assert await get_status(http, service.url + "/readyz") == 200
        with psycopg.connect(again.url) as connection:
            verdict = verdict_of(connection)
        assert verdict.clean
        assert verdict.issued >= 8 * (1 + queued[200] + 1)
        await asyncio.to_thread(service.stop)


async def test_beyond_the_bound_purchases_are_refused_at_once_and_those_in_flight_are_served(
    database, connection, http
):
    reset_event(connection, "fixed", "E", 80)
    served = serve_sales(database, "range", max_waiting=1, pool_size=1)
    async with served as url, asyncio.TaskGroup() as group:
        with hold_pool(database, "fixed") as holder:
            first = group.create_task(post_purchase(http, url))
            await soon(lambda: blocked_by(connection, holder))
            for _ in range(5):
                code, answer, headers = await post_purchase(http, url)
                assert (code, answer["code"]) == (503, "overloaded")
                assert int(headers["Retry-After"]) >= 1
        assert (await first)[0] == 200
        assert (await post_purchase(http, url))[0] == 200
    verdict = verdict_of(connection)
    assert (verdict.issued, verdict.clean) == (16, True)


async def test_naive_warns_and_its_statements_are_traced(database, connection, http, tmp_path):
    reset_event(connection, "original", "E", 80)
    options = ("--allocator", "naive", "--port", "0", "--trace", str(tmp_path / "trace"))
    process = start_command("serve", *options, DATABASE_URL=database)
    [url] = re.findall(r"listens on (\S+)", process.stdout.readline())
    async with http.post(
        url + "/purchase", json=BODY, headers={"X-Request-Id": "mine"}
    ) as response:
        assert response.status == 200
    await post_purchase(http, url, eventId="NONE")
    process.terminate()
    _, words = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    assert "WARNING: naive is unsafe on purpose" in words
    steps = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    mine = [step for step in steps if step["purchase"] == "mine"]
    words = [re.sub("--.*\n", "", step["statement"]).split()[0] for step in mine]
    assert words == ["SELECT", *["INSERT"] * 8, "UPDATE"]
    assert all(step["began_s"] <= step["ended_s"] and step["error"] is None for step in mine)
    assert sorted(mine, key=lambda step: step["began_s"]) == mine
    assert mine[0]["first"] == [80, 80]
    assert {step["purchase"] for step in steps} == {"mine", "1"}


def test_a_port_that_is_taken(database, cli_here):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = cli_here("serve", "--port", str(port), DATABASE_URL=database)
        assert f"cannot listen on 127.0.0.1:{port}" in error_line(refused)
        with running_each(database, [("range", {"port": port})]) as urls:
            assert urls != [f"http://127.0.0.1:{port}"]
    with running_each(database, [("range", {"port": port})] * 2) as urls:
        assert len({*urls}) == 2


def test_a_host_that_is_not_this_machine_is_named(database, cli_here):
    serve = ("serve", "--host", "192.0.2.1", "--port", "0")
    refused = error_line(cli_here(*serve, DATABASE_URL=database))
    assert "the host '192.0.2.1'" in refused and "TICKETSVC_HOST" in refused


def test_a_service_that_cannot_start_says_why(database):
    with pytest.raises(UsageError, match="original"):
        start_service(database, "range", schema="original")


async def test_noop_answers_as_a_sale_and_sells_nothing(database, connection, http):
    assert "noop" not in ALLOCATORS
    reset_event(connection, "fixed", "E", 8)
    before = read_ledger(connection, "fixed")
    async with serve_sales(database, "noop", pool_size=1) as url:
        for _ in range(2):
            code, answer, _ = await post_purchase(http, url)
            assert (code, answer) == (200, {"success": True, "tickets": list(range(1, 9))})
        assert (await post_purchase(http, url, quantity=7))[0] == 400
    assert read_ledger(connection, "fixed") == before


async def test_a_database_that_is_not_as_it_should_be_is_no_bug_of_the_service(
    database, connection, serve, http
):
    reset_event(connection, "fixed", "E", 80)
    service = serve(database, "group_commit")
    assert (await post_purchase(http, service.url))[0] == 200
    for broken in (
        "REVOKE UPDATE (available) ON fixed.ticket_pools FROM ticketsvc_seller",
        "DROP SCHEMA fixed CASCADE",
    ):
        connection.execute(broken)
        code, answer, headers = await post_purchase(http, service.url)
        assert (code, answer["code"]) == (503, "database_unavailable")
        assert "Retry-After" in headers
        assert await get_status(http, service.url + "/readyz") == 503
        said = os.pread(service.errors.fileno(), 2**20, 0)
        assert b"schema mismatch" in said
        assert b"Traceback" not in said
