"""Clients before the proxy notice nothing but time."""

import asyncio
import contextlib
import os
import socket
import struct

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.waiting import soon
from ticketsvc.lab.scenarios.filling import through
from ticketsvc.lab.scenarios.psql import find_psql
from ticketsvc.lab.wire import frames
from ticketsvc.lab.wire.gate import Gate
from ticketsvc.lab.wire.proxy import open_proxy


class NotingGate(Gate):
    """Let pass what it does not hold, and note it; *split*: with each commit a step of its own."""

    def __init__(self, *, split=False):
        self.split = split
        self.statements = []
        self.commits = []
        self.gone = []
        self.hold = None
        self.held, self.goes_on = asyncio.Event(), asyncio.Event()

    async def release(self, unit):
        self.statements.append(unit.text)
        if self.hold is not None and self.hold in unit.text:
            self.held.set()
            await self.goes_on.wait()
        return self.split

    async def release_commit(self, unit):
        self.commits.append(unit.text)

    def closed(self, session):
        self.gone.append(session)


@contextlib.asynccontextmanager
async def proxied(database, gate):
    server = conninfo_to_dict(database)
    async with open_proxy(server["host"], int(server["port"]), gate) as port:
        yield through(database, port)


@contextlib.asynccontextmanager
async def connected(database, gate):
    async with (
        proxied(database, gate) as url,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
    ):
        await connection.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
        yield connection


@pytest.fixture(params=[False, True], ids=["whole", "split"])
def gate(request):
    return NotingGate(split=request.param)


async def test_rows_come_back(database, gate):
    async with connected(database, gate) as client:
        await client.execute("INSERT INTO t VALUES (%s, %s)", [1, "x"])
        cursor = await client.execute("UPDATE t SET b = 'y' WHERE a = %s RETURNING a, b", [1])
        assert await cursor.fetchall() == [(1, "y")]
        assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_a_statement_prepared_once_is_known_by_its_text(database, gate):
    async with connected(database, gate) as client:
        for number in range(8):
            await client.execute("INSERT INTO t VALUES (%s, NULL)", [number], prepare=True)
    assert gate.statements.count("INSERT INTO t VALUES ($1, NULL)") == 8


async def test_an_error_reaches_the_client_and_leaves_the_connection_usable(database, gate):
    async with connected(database, gate) as client:
        await client.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await client.execute("INSERT INTO t VALUES (%s)", [1])
        assert await (await client.execute("SELECT count(*) FROM t")).fetchone() == (1,)


async def test_an_error_at_commit_takes_the_place_of_the_answer(database, gate):
    async with connected(database, gate) as client:
        await client.execute("CREATE TABLE d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        await client.execute("INSERT INTO d VALUES (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await client.execute("INSERT INTO d VALUES (%s)", [1])
        assert await (await client.execute("SELECT count(*) FROM d")).fetchone() == (1,)


async def test_a_transaction_of_the_client_is_left_alone(database, gate):
    async with connected(database, gate) as client:
        with contextlib.suppress(ZeroDivisionError):
            async with client.transaction():
                await client.execute("INSERT INTO t VALUES (1)")
                raise ZeroDivisionError
        assert await (await client.execute("SELECT count(*) FROM t")).fetchone() == (0,)
    assert "ROLLBACK" in gate.statements


async def test_copy_passes_both_ways(database, gate):
    async with connected(database, gate) as client:
        async with client.cursor().copy("COPY t FROM STDIN") as copy:
            await copy.write_row((1, "x"))
        async with client.cursor().copy("COPY t TO STDOUT") as copy:
            assert [bytes(part) async for part in copy] == [b"1\tx\n"]


async def test_a_pipeline_keeps_its_order(database, gate):
    async with connected(database, gate) as client:
        async with client.pipeline():
            cursors = [await client.execute("INSERT INTO t VALUES (%s)", [n]) for n in range(5)]
        assert [cursor.rowcount for cursor in cursors] == [1] * 5


async def test_what_cannot_run_in_a_transaction_passes_whole(database, gate):
    async with connected(database, gate) as client:
        await client.execute("VACUUM t")
        await client.execute("CREATE INDEX CONCURRENTLY i ON t (b)")
    assert not any("VACUUM" in text or "INDEX" in text for text in gate.commits)


async def test_a_cancel_request_reaches_the_server(database, gate):
    async with connected(database, gate) as client:
        sleeping = asyncio.create_task(client.execute("SELECT pg_sleep(600)"))

        async def cancelled():
            await client.cancel_safe()  # again, if it came before the statement
            return sleeping.done()

        await soon(cancelled)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await sleeping


async def test_psql_passes_with_its_scripts(database, gate):
    async with connected(database, gate), proxied(database, gate) as url:
        script = "INSERT INTO t VALUES (1), (2);\nSELECT count(*) AS n FROM t \\gset\n\\echo :n\n"
        process = await asyncio.create_subprocess_exec(
            find_psql(), "-X", "-q", url, stdin=-1, stdout=-1, stderr=-1
        )
        said, complained = await process.communicate(script.encode())
    assert (said, complained) == (b"2\n", b"")


async def test_a_wrong_password_is_the_servers_own_answer(database):
    async with proxied(database, NotingGate()) as url:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await psycopg.AsyncConnection.connect(url, password="wrong")


async def test_tls_is_declined(database):
    async with proxied(database, NotingGate()) as url:
        with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
            await psycopg.AsyncConnection.connect(url, sslmode="require")


async def test_replication_is_refused_in_one_line(database):
    async with proxied(database, NotingGate()) as url:
        with pytest.raises(psycopg.OperationalError, match="replication is not passed on"):
            await psycopg.AsyncConnection.connect(url, replication="database")


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01\x00\x00"])
async def test_who_speaks_no_postgresql_is_refused(database, sent):
    async with proxied(database, NotingGate()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", conninfo_to_dict(url)["port"])
        writer.write(sent)
        answer = await reader.read()
        writer.close()
    assert frames.error_fields(answer[5:])["C"] == "0A000"


async def test_a_held_statement_reaches_the_server_when_it_is_released(database, connection):
    gate = NotingGate()
    async with connected(database, gate) as client:
        gate.hold = "INSERT"
        held = asyncio.create_task(client.execute("INSERT INTO t VALUES (1)"))
        await gate.held.wait()
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        gate.goes_on.set()
        await held
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


@pytest.mark.parametrize(
    "sent",
    [
        b"Q\x00\x00\x00\x02",
        b"\x00garbage",
        b"Q\xff\xff\xff\xff",
        b"B" + struct.pack("!I", 10) + b"\0\0\0\7\0\0",  # a Bind with too few values
        frames.query("SELECT 1").encode()[:9],  # half a message
    ],
    ids=["too short", "garbage", "huge", "a broken bind", "half"],
)
async def test_a_client_that_sends_garbage_is_cut_off(database, gate, sent, caplog):
    async with connected(database, gate) as control, proxied(database, gate) as url:
        client = await psycopg.AsyncConnection.connect(url, application_name="broken")
        with socket.socket(fileno=os.dup(client.fileno())) as raw:
            raw.sendall(sent + frames.Message(b"S", b"").encode() * (sent[:1] == b"B"))
            raw.shutdown(socket.SHUT_WR)

        async def gone():
            cursor = await control.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'broken'"
            )
            return await cursor.fetchone() == (0,)

        await soon(gone)
        await client.close()
    assert not caplog.records


async def test_a_server_process_that_dies_takes_its_client_along(database, gate, connection):
    async with connected(database, gate) as client:
        sleeping = asyncio.create_task(client.execute("SELECT pg_sleep(600)"))
        await soon(lambda: "SELECT pg_sleep(600)" in gate.statements)
        connection.execute("SELECT pg_terminate_backend(%s)", [client.info.backend_pid])
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            await sleeping


async def test_what_a_client_leaves_open_is_undone_when_it_has_gone(database, gate):
    async with connected(database, gate) as control:
        async with proxied(database, gate) as url:
            leaving = await psycopg.AsyncConnection.connect(url)
            await leaving.execute("LOCK TABLE t")
            await leaving.close()
            await soon(lambda: bool(gate.gone))
        await control.execute("BEGIN; LOCK TABLE t NOWAIT; COMMIT")
