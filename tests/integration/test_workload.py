"""How `fire` sends: all of a burst together, and none of it held up for ever by the others."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from ticketsvc.lab.history import summarise
from ticketsvc.lab.workload import Workload, fire

NOBODY = "http://127.0.0.1:1"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
SOLD = b'{"tickets":[1]}'


@contextlib.asynccontextmanager
async def service(handler):
    """Serve `POST /purchase` by *handler*, in this process; give the address."""
    app = web.Application()
    app.router.add_post("/purchase", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def sell(request):
    await request.read()
    return web.json_response({"tickets": [1]})


@pytest.mark.parametrize("purchases", [1, 2, 30])
async def test_no_purchase_is_complete_before_all_have_come(purchases):
    """Seen from the other end of the wire, byte by byte."""
    partly = set()
    complete = []

    async def converse(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    (length,) = [
                        int(line.split(b":")[1])
                        for line in head.lower().splitlines()
                        if line.startswith(b"content-length:")
                    ]
                    await reader.readexactly(length - 1)
                    partly.add(writer)
                    assert await reader.readexactly(1) == b"}"
                    complete.append(len(partly))
                writer.write(ANSWER + SOLD)
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        workload = Workload("E", purchases, concurrency=purchases)
        history = await fire([f"http://127.0.0.1:{port}"], workload)
    assert complete == [purchases] * purchases
    assert summarise(history)["successes"] == purchases


async def test_more_purchases_than_buyers():
    async with service(sell) as url:
        history = await fire([url], Workload("E", 25, concurrency=4))
    assert summarise(history)["successes"] == 25
    assert len({attempt.user for attempt in history}) == 25
    assert all(attempt.sent_s <= attempt.answered_s for attempt in history)


async def test_purchases_in_their_own_time():
    async with service(sell) as url:
        workload = Workload("E", 5, concurrency=5, arrivals_s=(0.0, 0.0, 0.01, 0.02, 0.02))
        history = await fire([url], workload)
    assert summarise(history)["successes"] == 5


async def test_a_service_that_is_not_there_holds_nobody_up():
    async with service(sell) as url:
        history = await fire([url, NOBODY], Workload("E", 10, concurrency=10))
    summary = summarise(history)
    assert (summary["successes"], summary["failed"], summary["unknown"]) == (5, 5, 0)


async def test_a_service_that_answers_before_it_has_read_all():
    async def refuse(_):
        return web.json_response({"error": "who are you?"}, status=401)

    async with service(refuse) as url, service(sell) as other:
        history = await fire([url, other], Workload("E", 10, concurrency=10))
    summary = summarise(history)
    assert (summary["successes"], summary["refused"], summary["unknown"]) == (5, 5, 0)


async def test_a_service_that_never_answers_is_an_unknown_outcome():
    async def forget(request):
        await request.read()
        await asyncio.Event().wait()

    async with service(forget) as url, service(sell) as other:
        workload = Workload("E", 4, concurrency=4, timeout_s=0.5)
        history = await fire([url, other], workload)
    summary = summarise(history)
    assert (summary["successes"], summary["refused"], summary["unknown"]) == (2, 0, 2)


async def test_every_answer_is_told_as_it_comes():
    told = []
    async with service(sell) as url:
        history = await fire([url], Workload("E", 7), on_answer=told.append)
    assert sorted(told, key=lambda attempt: attempt.purchase) == sorted(
        history, key=lambda attempt: attempt.purchase
    )
