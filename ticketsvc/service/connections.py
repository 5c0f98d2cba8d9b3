"""Where bytes become requests: every fault answered in our terms, every wait bounded.

aiohttp parses. What it leaves open is closed here: it answers malformed requests as plain text,
and waits for ever on clients that send slowly, stop in the middle, or read no answers. Nothing
is timed per request; the server looks at all its connections a few times per time limit.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from ticketsvc.service.answers import (
    JSON_HEADERS,
    RETRY_AFTER_S,
    error_answer,
    error_line,
    protocol_answer,
)
from ticketsvc.settings import Settings

# Of bytes. They differ so that an error tells by its limit which of the two it is about.
MAX_LINE = 8190
MAX_FIELD = 8191
MAX_HEADERS = 64

_SPOKEN = (HttpVersion11, HttpVersion10)  # the common one first: it is looked up per request
_LOOKS_PER_LIMIT = 8
_LOOK_S = 1  # but at least so often
_BREAK_S = 0.1  # what cancelled purchases get before the process ends
_SPARE_FILES = 256  # for the database, logs, and connections that are being turned away


class EdgeRunner(web.AppRunner):
    """Run an application behind connections that obey *settings*."""

    def __init__(self, app: web.Application, settings: Settings, **options: Any) -> None:
        super().__init__(
            app,
            keepalive_timeout=settings.keepalive_timeout_s,
            lingering_time=settings.request_timeout_s,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            shutdown_timeout=settings.shutdown_timeout_s,
            **options,
        )
        self._settings = settings

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return EdgeServer(made, self._settings)


class EdgeServer(web.Server):
    """Keep the connections: count them, look after their time limits, end them."""

    def __init__(self, like: web.Server, settings: Settings) -> None:
        super().__init__(
            like.request_handler,
            request_factory=like.request_factory,
            loop=like._loop,
            **like._kwargs,
        )
        self.limit_s = settings.request_timeout_s
        self.most = _affordable(settings.max_connections)
        self._next_look = self._loop.call_later(0, self._look)

    def __call__(self) -> "EdgeConnection":
        """Make the protocol of one connection."""
        return EdgeConnection(self, loop=self._loop, **self._kwargs)

    def crowded(self, more: int = 0) -> bool:
        """Tell whether more than the allowed connections, and so many *more*, are open."""
        return len(self._connections) > self.most + more

    def _look(self) -> None:
        self._next_look = self._loop.call_later(
            min(self.limit_s / _LOOKS_PER_LIMIT, _LOOK_S), self._look
        )
        now = self._loop.time()
        for connection, transport in list(self._connections.items()):
            assert isinstance(connection, EdgeConnection)  # noqa: S101 - for the type checker
            connection.hold_to_time(now, transport)

    def pre_shutdown(self) -> None:
        """Close the connections on which nothing is under way; the others after their answer."""
        for connection in list(self._connections):
            assert isinstance(connection, EdgeConnection)  # noqa: S101 - for the type checker
            connection.finish()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """Wait up to *timeout* for what is under way, then cut off what is left."""
        # aiohttp's own stops reading at once, so that a purchase half sent would never be whole.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._connections:
                    self.pre_shutdown()
                    await asyncio.sleep(0.01)
        self._next_look.cancel()
        await super().shutdown(_BREAK_S)


class EdgeConnection(RequestHandler):
    """One connection, whose client has a bounded time for each request and each answer.

    *begun*: part of a request is here, and the rest has to be by *late_at*. *stuck_at*: when the
    client has to have read what waits to be sent. *deaf*: what still comes is not looked at.
    """

    __slots__ = ("_arriving", "_begun", "_deaf", "_last", "_late_at", "_limit_s", "_stuck_at")

    def __init__(self, manager: EdgeServer, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limit_s = manager.limit_s
        self._arriving: StreamReader | None = None
        self._begun = False
        self._deaf = False
        self._last = False
        self._late_at: float | None = None
        self._stuck_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Return the client its time; or turn it away when too many are here."""
        super().connection_made(transport)
        opened = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._late_at = self._loop.time() + self._limit_s
        server = self._manager
        assert isinstance(server, EdgeServer)  # noqa: S101 - for the type checker
        if server.crowded(_SPARE_FILES // 2):
            opened.abort()
        elif server.crowded():
            # Not closed at once: with its request unread, the reset would overtake the answer.
            self._deaf = True
            opened.write(_TURNED_AWAY)
            self._late_at = self._loop.time() + min(1, self._limit_s)

    def data_received(self, data: bytes) -> None:
        """Parse, and note whether a request is whole."""
        if self._deaf:
            return
        parsed = self._request_count
        super().data_received(data)
        if self._request_count != parsed:
            self._refuse_versions(self._request_count - parsed)
            message, body = self._messages[-1]
            if isinstance(message, _ErrInfo):
                self._give_up_on(web.RequestPayloadError(message.message))
                return
            self._arriving = body
        if self._arriving is not None and self._arriving.is_eof():
            self._arriving = self._late_at = None
            self._begun = False
        elif not self._begun and (data or self._arriving):
            self._begun = True
            self._late_at = self._loop.time() + self._limit_s

    def _refuse_versions(self, new: int) -> None:
        # aiohttp would speak whatever version it is spoken to in.
        for place in range(-new, 0):
            message, _ = self._messages[place]
            if not isinstance(message, _ErrInfo) and message.version not in _SPOKEN:
                fault = BadHttpMessage("this version is not spoken here")
                self._messages[place] = (_ErrInfo(400, fault, fault.message), EMPTY_PAYLOAD)
                for _ in range(-place - 1):
                    self._messages.pop()
                return

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio asks for it, aiohttp has none
        """Answer a client that has said all it will say, and still listens; then close."""
        super().eof_received()
        self._last = True
        # Not by the request under way: between the queue and its handler it is in neither.
        return self._request_count > 0 and not self._idle

    def resume_writing(self) -> None:
        """Note that the client reads."""
        super().resume_writing()
        self._stuck_at = None

    def hold_to_time(self, now: float, transport: asyncio.Transport) -> None:
        """End what has taken too long."""
        if self._last:  # its client left while its answer was on the way out
            self.finish()
        if self.writing_paused or transport.is_closing():
            if self._stuck_at is None:
                self._stuck_at = now + self._limit_s
            elif now >= self._stuck_at:
                transport.abort()
        # A body that we do not read on is not the client's delay.
        elif self._late_at is not None and now >= self._late_at and not self._reading_paused:
            self._late_at = None
            self._end_of_patience()

    def _process_keepalive(self) -> None:
        if self._begun:  # no longer idle: the limit on the request applies
            self._keepalive_handle = None
        else:
            super()._process_keepalive()

    def _end_of_patience(self) -> None:
        if not self._begun:
            self.force_close()
        elif self._arriving is None:
            late = TimeoutError()
            self._messages.append((_ErrInfo(408, late, ""), EMPTY_PAYLOAD))
            self._give_up_on(late)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        elif self._current_request is None and not self._messages:
            self.force_close()  # answered already: nobody reads the rest
        else:
            self._give_up_on(web.HTTPRequestTimeout())

    def _give_up_on(self, problem: Exception) -> None:
        """Expect nothing more; whoever reads a body that is not whole gets *problem*."""
        self._deaf = True
        self._lingering_time = 0.0
        self._late_at = None
        if self._arriving is not None and not self._arriving.is_eof():
            self._arriving.set_exception(problem)

    @property
    def _idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def finish(self) -> None:
        """Close after the answer that is under way; without one, now."""
        self._last = True
        if self._idle and not self._begun:
            self.force_close()

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer, in our terms also where aiohttp refused; close after the last one."""
        if isinstance(resp, web.HTTPException):
            resp = protocol_answer(resp)
        if self._last or (self._deaf and not self._messages):
            resp.force_close()
        return super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what is ours; a body that cannot be read to its end is the client's fault."""
        if not isinstance(options.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, and close.

        Raise `ConnectionError` when part of another answer is out.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer is out")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception("a bug: outside the application", exc_info=exc)
        if isinstance(exc, TimeoutError) and status == HTTPStatus.REQUEST_TIMEOUT:
            answer = protocol_answer(web.HTTPRequestTimeout())
        else:
            answer = error_answer(*_fault(status, exc))
        answer.force_close()
        return answer


def _fault(status: int, problem: BaseException | None) -> tuple[int, str, str]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return 500, "the server failed; the purchase may have happened, or not", "bug"
    if isinstance(problem, LineTooLong):
        if problem.args[1] == MAX_LINE:
            return 414, f"the request line is longer than {MAX_LINE} bytes", "uri_too_long"
        return 431, f"a header is longer than {MAX_FIELD} bytes", "headers_too_large"
    # There is no class for it.
    if "Too many headers" in str(problem):
        return 431, f"more than {MAX_HEADERS} headers", "headers_too_large"
    return 400, "the request is not valid HTTP", "malformed_request"


def _turned_away() -> bytes:
    message = "too many connections are open: try again shortly"
    body = error_line(message, "overloaded")
    head = {
        **JSON_HEADERS,
        "Content-Length": str(len(body)),
        "Retry-After": str(RETRY_AFTER_S),
        "Connection": "close",
    }
    lines = ["HTTP/1.1 503 Service Unavailable", *(f"{name}: {head[name]}" for name in head)]
    return "\r\n".join([*lines, "", ""]).encode() + body


_TURNED_AWAY = _turned_away()


def _affordable(wanted: int) -> int:
    """Raise this process's limit of open files to what *wanted* connections need, or give fewer.

    Beyond that limit nobody could be told why not.
    """
    try:
        import resource  # noqa: PLC0415 - Windows has none, and no such limit
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return max(1, soft - _SPARE_FILES)
