"""The answer that is composed here, beside aiohttp's own."""

import re

import pytest
from aiohttp import web

from tests.support.raw_http import connect
from tests.support.web_servers import serve_app
from ticketsvc.service.answers import JSON_HEADERS, SaleAnswer
from ticketsvc.service.outbox import Outbox

BODY = b'{"success":true,"tickets":[1]}'
DATE = re.compile(rb"Date: \w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT\r\n")


def application(*, closes):
    """Answer /ours and /theirs with the same body."""

    def answer(response):
        if closes:
            response.force_close()
        return response

    async def ours(_):
        return answer(SaleAnswer(BODY, Outbox()))

    async def theirs(_):
        return answer(web.Response(body=BODY, headers=JSON_HEADERS))

    app = web.Application()
    app.router.add_post("/ours", ours)
    app.router.add_post("/theirs", theirs)
    return app


@pytest.mark.parametrize("closes", [False, True])
async def test_a_sale_is_answered_as_aiohttp_answers(closes):
    received = []
    async with serve_app(application(closes=closes)) as url:
        for path in (b"/ours", b"/theirs"):
            reader, writer = await connect(url, b"POST " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = await reader.readuntil(BODY)
            if closes:
                assert await reader.read() == b""
            writer.close()
            assert len(DATE.findall(answer)) == 1
            received.append(DATE.sub(b"", answer))
    assert sorted(received[0].split(b"\r\n")) == sorted(received[1].split(b"\r\n"))
