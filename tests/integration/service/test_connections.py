"""What clients do to a server below HTTP: malformed, slow, half-open, too many, never reading."""

import asyncio
import contextlib
import re
import socket

import psycopg
import pytest

from tests.support.raw_http import BODY, BUY, HEAD, address_of, ask, connect, read_answer
from tests.support.waiting import soon
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.services import start_service
from ticketsvc.service.request_limits import MAX_BODY_BYTES, MAX_HEADERS, MAX_LINE_BYTES

CHUNKED = (
    b"POST /purchase HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LARGE = HEAD.replace(str(len(BODY)).encode(), str(MAX_BODY_BYTES + 1).encode())


class Server:
    """A server process, and raw connections to it."""

    def __init__(self, service, connection):
        self.service, self.connection = service, connection
        self.address = address_of(service.url)

    def ledger(self):
        return read_ledger(self.connection, "fixed")

    async def open(self, sent=b""):
        return await connect(self.service.url, sent)


@contextlib.contextmanager
def started(server, request_timeout_s, keepalive_timeout_s):
    with server.clone() as url, psycopg.connect(url, autocommit=True) as connection:
        reset_event(connection, "fixed", "E", 8000)
        environment = {
            "TICKETSVC_REQUEST_TIMEOUT_S": request_timeout_s,
            "TICKETSVC_KEEPALIVE_TIMEOUT_S": keepalive_timeout_s,
            # Halves of requests are left behind, and nobody waits for the rest of them.
            "TICKETSVC_SHUTDOWN_TIMEOUT_S": "0.1",
        }
        with start_service(url, "group_commit", environment=environment) as service:
            yield Server(service, connection)


@pytest.fixture(scope="module")
def edge(server):
    """A server with limits that no request of a test reaches on a busy machine."""
    with started(server, "300", "300") as running:
        yield running


@pytest.fixture(scope="module")
def strict(server):
    """A server with limits that a test can wait for."""
    # Idle connections go sooner: that is not what may end a request that has begun.
    with started(server, "0.5", "0.3") as running:
        yield running


NOT_HTTP = {
    "not HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is none": b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
    "a purchase in HTTP/2.0, then a good one": BUY.replace(b"/1.1", b"/2.0") + BUY,
    "no colon": b"GET /healthz HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\n\r\n" + BODY,
    "a negative length": LARGE.replace(b"65537", b"-1") + b"\r\n",
    "length and chunks": HEAD + CHUNKED.partition(b"json\r\n")[2],
    "a bad chunk": CHUNKED + b"zz\r\n",
    "a long line": b"GET /" + b"x" * MAX_LINE_BYTES + b" HTTP/1.1\r\n\r\n",
    "a long header": HEAD + b"X: " + b"x" * (MAX_LINE_BYTES + 1),
    "a long name": HEAD + b"x" * (MAX_LINE_BYTES + 1),
    "many headers": HEAD + b"X: y\r\n" * MAX_HEADERS + b"\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_is_answered_400_and_closed(edge, sent):
    before = edge.ledger()
    reader, writer = await edge.open(sent)
    received = await reader.read()
    assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Traceback" not in received
    assert edge.ledger() == before
    writer.close()


REFUSED = {
    "an old version": (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 400, "malformed_request"),
    "Expect": (HEAD + b"Expect: magic\r\n\r\n", 417, "expectation_failed"),
    "packed on the way": (
        CHUNKED.replace(b"chunked", b"gzip, chunked"),
        415,
        "unsupported_media_type",
    ),
    "too large": (LARGE + b"\r\n", 413, "too_large"),
    "too large, asked first": (LARGE + b"Expect: 100-continue\r\n\r\n", 413, "too_large"),
    "GET, too large": (
        LARGE.replace(b"POST /purchase", b"GET /events") + b"\r\n",
        413,
        "too_large",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_before_it_is_read_says_why(edge, case):
    sent, status, code = REFUSED[case]
    before = edge.ledger()
    answered, said, _ = await ask(edge.service.url, sent)
    assert (answered, said["success"], said["code"]) == (status, False, code)
    assert edge.ledger() == before


async def test_a_chunk_that_breaks_later_sells_nothing(strict):
    before = strict.ledger()
    reader, writer = await strict.open(CHUNKED + b"5\r\n" + BODY[:5] + b"\r\n")
    await asyncio.sleep(0)
    writer.write(b"zz\r\n")
    received = await reader.read()
    assert received[9:12] in {b"400", b"408"}  # the parser may notice, or the body never ends
    writer.close()
    assert strict.ledger() == before


async def test_a_purchase_before_garbage_is_sold(edge):
    reader, writer = await edge.open(BUY)
    assert (await read_answer(reader))[0] == 200
    writer.write(b"\x00garbage\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()


async def test_requests_sent_at_once_are_answered_in_order(edge):
    refused = BUY.replace(b'"quantity":8', b'"quantity":7')
    reader, writer = await edge.open(BUY + refused + BUY + refused)
    statuses = [(await read_answer(reader))[0] for _ in range(4)]
    assert statuses == [200, 400, 200, 400]
    writer.close()


async def test_a_client_that_expects_100_gets_it_before_the_answer(edge):
    reader, writer = await edge.open(HEAD + b"Expect: 100-continue\r\n\r\n")
    assert (await read_answer(reader))[0] == 100
    writer.write(BODY)
    assert (await read_answer(reader))[0] == 200
    writer.close()


SLOW = {
    "nothing": (b"", None),
    "half a line": (BUY[:5], 408),
    "half a head": (HEAD[:-9], 408),
    "a head": (HEAD + b"\r\n", 408),
    "half a body": (BUY[:-5], 408),
    "half a chunk": (CHUNKED + b"5\r\n{", 408),
    "the body of a GET": (BUY[:-5].replace(b"POST /purchase", b"GET /healthz"), 200),
}


async def test_a_request_that_stops_in_the_middle_is_answered_408_and_closed(strict):
    async def stop_after(sent):
        reader, writer = await strict.open(sent)
        answer, rest = await read_answer(reader), await read_answer(reader)
        writer.close()
        return answer and answer[0], rest

    before = strict.ledger()
    ends = await asyncio.gather(*(stop_after(sent) for sent, _ in SLOW.values()))
    assert dict(zip(SLOW, ends, strict=True)) == {
        case: (status, None) for case, (_, status) in SLOW.items()
    }
    assert strict.ledger() == before


async def test_a_body_sent_byte_by_byte_is_ended(strict):
    """Each byte comes in time; only a limit on the whole body ends it."""
    reader, writer = await strict.open(CHUNKED)

    async def trickle():
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    answer = await read_answer(reader)
    # A client that goes on writing may meet the reset before it reads.
    assert answer is None or answer[0] == 408
    await asyncio.wait_for(trickling, 60)
    writer.close()


async def test_hundreds_of_unfinished_requests_disturb_no_buyer(edge, http):
    sent = [case[0] for case in SLOW.values()]
    hanging = await asyncio.gather(*(edge.open(sent[n % len(sent)]) for n in range(100)))
    before = edge.ledger()[0].available
    for _ in range(10):
        async with http.post(edge.service.url + "/purchase", data=BODY, headers=JSON) as sold:
            assert sold.status == 200
    assert edge.ledger()[0].available == before - 80
    for _, writer in hanging:
        writer.close()


JSON = {"Content-Type": "application/json"}


async def test_a_client_that_reads_no_answers_is_disconnected(strict, http):
    """The server answers little of what it sends, then stops reading from it, then closes."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, strict.address)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * 1000
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(60):
                while True:
                    await loop.sock_sendall(client, request)
    async with http.get(strict.service.url + "/metrics") as metrics:
        (count,) = re.findall(r'seconds_count{route="/openapi.json".*} (\S+)', await metrics.text())
    assert float(count) < 150  # of thousands; the system alone would keep megabytes of them


async def test_one_connection_too_many_is_refused(monkeypatch, database, connection, serve):
    most = 3
    monkeypatch.setenv("TICKETSVC_MAX_CONNECTIONS", str(most))
    reset_event(connection, "fixed", "E", 80)
    server = Server(serve(database, "range"), connection)
    kept = [await server.open(BUY) for _ in range(most)]
    assert [(await read_answer(reader))[0] for reader, _ in kept] == [200] * most
    status, said, fields = await ask(server.service.url, BUY)
    assert (status, said["code"]) == (503, "overloaded")
    assert int(fields["retry-after"]) > 0
    assert server.ledger()[0].available == 80 - 8 * most
    # The first connections are still served, and one that closes makes room.
    reader, writer = kept.pop()
    writer.write(BUY)
    assert (await read_answer(reader))[0] == 200
    writer.close()

    async def sells():
        return (await ask(server.service.url, BUY))[0] == 200

    await soon(sells)
    for _, writer in kept:
        writer.close()


async def test_a_half_closed_client_gets_the_answers_to_all_that_it_asked(edge):
    refused = BUY.replace(b'"quantity":8', b'"quantity":7')
    reader, writer = await edge.open(BUY + refused + BUY)
    writer.write_eof()
    assert [(await read_answer(reader))[0] for _ in range(3)] == [200, 400, 200]
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"", BUY[:5], HEAD, BUY[:-1], HEAD + b"\r\n", CHUNKED + b"9\r\n{"]
)
async def test_what_a_half_closed_client_has_not_sent_is_not_waited_for(edge, sent):
    reader, writer = await edge.open(sent)
    writer.write_eof()
    async with asyncio.timeout(60):
        assert (await reader.read())[:13] == (b"HTTP/1.1 400 " if sent else b"")
    writer.close()


@pytest.mark.parametrize("answered_first", [True, False])
async def test_a_half_closed_client_is_not_waited_for_to_send_a_body_that_nobody_reads(
    edge, answered_first
):
    reader, writer = await edge.open(BUY[:-5].replace(b"POST /purchase", b"GET /healthz"))
    if answered_first:
        assert (await read_answer(reader))[0] == 200
    writer.write_eof()
    async with asyncio.timeout(60):
        assert (await reader.read())[:13] == (b"" if answered_first else b"HTTP/1.1 200 ")
    writer.close()
