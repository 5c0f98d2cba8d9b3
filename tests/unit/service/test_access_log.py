"""The access log when nobody reads it any more."""

import asyncio
import logging
import sys

from ticketsvc.service.access_log import AccessLog


class Gone:
    def write(self, _):
        raise BrokenPipeError


class Request:
    remote, method, raw_path = "127.0.0.1", "GET", "/"


class Response:
    status, body_length = 200, 2


async def test_a_reader_that_is_gone_ends_nothing_and_fills_no_memory(monkeypatch, capsys):
    log = AccessLog(logging.getLogger("test"), "")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Gone())
        log.log(Request(), Response(), 0.001)
        AccessLog.flush()
    log.log(Request(), Response(), 0.001)
    AccessLog.flush()
    assert capsys.readouterr().err.count('127.0.0.1 "GET /" 200 2 1.0 ms') == 1
    await asyncio.sleep(0)
