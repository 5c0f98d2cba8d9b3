"""How a burst is sent: all of it together, and no purchase held up for ever by the others."""

import asyncio
import contextlib
import socket
import time

import pytest
from aiohttp import web

from tests.support.web_servers import serve_app, serve_sales
from ticketsvc.lab.workload.barrier import Barrier, HeldBody
from ticketsvc.lab.workload.burst import run_workload, takes_keys
from ticketsvc.lab.workload.history import summarise
from ticketsvc.lab.workload.plan import Workload

NOBODY = "http://127.0.0.1:1"


def service(handler):
    """Serve `POST /purchase` by *handler*, in this process; return the address."""
    app = web.Application()
    app.router.add_post("/purchase", handler)
    return serve_app(app)


async def sell(request):
    await request.read()
    return web.json_response({"tickets": [1]})


async def test_no_body_is_complete_before_all_have_come_so_far():
    barrier = Barrier(3, 60)
    bodies = [aiter(HeldBody(b"{...}", barrier)) for _ in range(3)]
    assert [await anext(body) for body in bodies] == [b"{..."] * 3
    endings = [asyncio.ensure_future(anext(body)) for body in bodies[:2]]
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(ending.done() for ending in endings)
    assert await anext(bodies[2]) == b"}"
    assert await asyncio.gather(*endings) == [b"}"] * 2
    assert [chunk async for chunk in HeldBody(b"{...}", None)] == [b"{...}"]  # those that follow


async def test_a_body_that_never_came_is_not_waited_for():
    barrier = Barrier(2, 60)
    come, failed = HeldBody(b"{...}", barrier), HeldBody(b"{...}", barrier)
    chunks = aiter(come)
    await anext(chunks)
    ending = asyncio.ensure_future(anext(chunks))
    failed.give_up()
    assert await ending == b"}"
    come.give_up()  # it has come: counted once


async def test_more_purchases_than_buyers():
    async with service(sell) as url:
        history = await run_workload([url], Workload("E", 25, concurrency=4))
    assert summarise(history)["successes"] == 25
    assert len({attempt.user for attempt in history}) == 25
    assert all(attempt.sent_s <= attempt.answered_s for attempt in history)


async def test_purchases_in_their_own_time():
    async with service(sell) as url:
        workload = Workload("E", 5, concurrency=5, arrivals_s=(0.0, 0.0, 0.01, 0.02, 0.02))
        began_s = time.monotonic()
        history = await run_workload([url], workload)
    assert summarise(history)["successes"] == 5
    assert history[-1].sent_s - began_s >= 0.015  # the last was not sent before its time


async def test_a_service_that_cannot_be_connected_to_holds_nobody_up():
    """A full accept queue: connections neither open nor fail."""
    with contextlib.ExitStack() as sockets:
        unanswering = sockets.enter_context(socket.socket())
        unanswering.bind(("127.0.0.1", 0))
        unanswering.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(unanswering.getsockname())
        unreachable = f"http://127.0.0.1:{unanswering.getsockname()[1]}"
        async with service(sell) as url:
            workload = Workload("E", 10, concurrency=10, timeout_s=60)
            history = await run_workload([url, unreachable], workload, connect_s=0.5)
    summary = summarise(history)
    assert (summary["successes"], summary["failed"], summary["unknown"]) == (5, 5, 0)


async def test_a_service_that_answers_before_it_has_read_all():
    async def refuse(_):
        return web.json_response({"error": "who are you?"}, status=401)

    async with service(refuse) as url, service(sell) as other:
        history = await run_workload([url, other], Workload("E", 10, concurrency=10))
    summary = summarise(history)
    assert (summary["successes"], summary["refused"], summary["unknown"]) == (5, 5, 0)


async def test_a_service_that_never_answers_is_an_unknown_outcome():
    over = asyncio.Event()

    async def forget(request):
        await request.read()
        await over.wait()
        return web.Response()

    async with service(forget) as url:
        history = await run_workload([url], Workload("E", 2, concurrency=2, timeout_s=0.5))
        over.set()
    assert [attempt.outcome for attempt in history] == ["unknown"] * 2


def dropping(*, first=1, code=None):
    """Sell once per key, but lose the first answers of each: cut them, or say *code*."""
    sold, asked = {}, {}

    async def handler(request):
        key = request.headers.get("Idempotency-Key")
        await request.read()
        number = sold.setdefault(key, len(sold) + 1) if key else len(asked) + 1
        name = request.headers["X-Request-Id"]
        asked[name] = asked.get(name, 0) + 1
        if asked[name] > first:
            return web.json_response({"tickets": [number]})
        if code is None:
            request.transport.abort()
        return web.json_response({"error": "?", "code": code}, status=503)

    return handler


@pytest.mark.parametrize("code", [None, "outcome_unknown"])
async def test_an_unknown_outcome_is_sent_again_under_the_same_key(code):
    async with service(dropping(first=2, code=code)) as url:
        history = await run_workload([url], Workload("E", 5, concurrency=5, keys=True, retry_s=60))
    assert [attempt.outcome for attempt in history] == ["unknown"] * 10 + ["ok"] * 5
    assert len({attempt.key for attempt in history}) == 5
    assert len({(attempt.key, attempt.purchase) for attempt in history}) == 5
    told = summarise(history)
    assert (told["purchases"], told["successes"], told["unknown"]) == (5, 5, 0)
    assert (told["tickets"], told["duplicates"], told["retried"]) == (5, 0, {"ok": 5})


async def test_nothing_is_sent_again_unless_asked():
    async with service(dropping()) as url:
        unknown = await run_workload([url], Workload("E", 3, keys=True))
    async with service(dropping(code="overloaded")) as url:
        refused = await run_workload([url], Workload("E", 3, keys=True, retry_s=60))
    assert [attempt.outcome for attempt in unknown + refused] == ["unknown"] * 3 + ["refused"] * 3


async def test_what_was_not_sold_for_now_is_sent_again_on_request():
    async with service(dropping(code="overloaded")) as url:
        workload = Workload("E", 3, keys=True, retry_s=60, retry_unavailable=True)
        history = await run_workload([url], workload)
    assert summarise(history)["retried"] == {"ok": 3}


async def test_once_unknown_it_is_sent_again_until_an_answer_settles_it():
    """As when a database restarts: no answer, then refused for now, then sold."""
    answers = [None, (503, "database_unavailable"), (502, ""), (200, "")]

    async def handler(request):
        await request.read()
        answer = answers.pop(0)
        if answer is None:
            request.transport.abort()
            return web.Response()
        return web.json_response({"tickets": [1], "code": answer[1]}, status=answer[0])

    async with service(handler) as url:
        history = await run_workload([url], Workload("E", 1, keys=True, retry_s=60))
    assert [attempt.status for attempt in history] == [None, 503, 502, 200]
    assert summarise(history)["retried"] == {"ok": 1}


async def test_retries_end_when_their_time_is_over():
    async with service(dropping(first=1000)) as url:
        history = await run_workload([url], Workload("E", 1, keys=True, retry_s=0.3))
    assert len(history) > 1
    assert summarise(history)["retried"] == {"unknown": 1}


async def test_no_purchase_is_begun_once_there_are_enough():
    done = []
    async with service(sell) as url:
        workload = Workload("E", 1000, concurrency=2)
        history = await run_workload(
            [url], workload, on_answer=done.append, enough=lambda: len(done) >= 10
        )
    assert 10 <= len(history) <= 12


async def test_a_service_says_whether_it_takes_keys(database):
    for name, keys in (("range", True), ("naive", False)):
        async with serve_sales(database, name, pool_size=1) as url:
            assert await takes_keys(url) is keys
    assert await takes_keys(NOBODY) is None
    async with service(sell) as url:
        assert await takes_keys(url) is False
