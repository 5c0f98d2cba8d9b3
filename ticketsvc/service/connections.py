"""Bound what clients can hold open: connections, unfinished requests, unread answers.

aiohttp parses requests and answers them. It waits without limit for a client that sends half a
request or does not read its answer. A `Guard` stands between each connection and aiohttp's
protocol and passes every event on. It parses nothing: the application tells it when a request
starts and ends, and bytes that arrive between two requests must become one within the limit.

No timer is set per request. `Connections` checks all of its guards several times per time limit.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from aiohttp import StreamReader, web

from ticketsvc.service.answers import raw_answer
from ticketsvc.service.open_files import SPARE_FILES, affordable_connections
from ticketsvc.settings import Settings

_CHECKS_PER_LIMIT = 8
_LONGEST_CHECK_INTERVAL_S = 1.0
_DRAIN_INTERVAL_S = 0.01
_TURNS_TO_NEXT_REQUEST = 16  # of the event loop; aiohttp takes three to begin one that is here
_REFUSAL_READ_S = 1.0  # how long a client may read what ends a request early
_SEND_BUFFER_BYTES = 64 * 1024  # more than the longest answer needs
# What a connection waits for: a request, the rest of its head, its answer, or its own end. The end
# comes after the last answer, or after a refusal, when what still arrives is dropped.
_IDLE, _HEAD, _REQUEST, _LAST, _REFUSED = range(5)
_ANSWERS = {
    status: raw_answer(status, message, code)
    for status, message, code in (
        (
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too many connections are open: try again shortly",
            "overloaded",
        ),
        (HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time", "request_timeout"),
        (HTTPStatus.BAD_REQUEST, "the request ended early", "malformed_request"),
    )
}


class Guard(asyncio.Protocol):
    """One connection: pass its events to aiohttp's protocol, and end it when it takes too long."""

    __slots__ = (
        "_body",
        "_connections",
        "_due",
        "_ending",
        "_half_closed",
        "_inner",
        "_state",
        "_stuck_since",
        "_transport",
        "_writing_paused",
    )
    _transport: asyncio.Transport

    def __init__(self, connections: "Connections", inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._state = _IDLE
        self._due = connections.now() + connections.limit_s  # when the state must have changed
        self._stuck_since: float | None = None  # when the client was first seen not to read
        self._body: StreamReader | None = None  # of the latest request
        self._ending: asyncio.Handle | None = None
        self._writing_paused = False
        self._half_closed = False  # the client has sent all that it will send, and may still read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; refuse it when too many are open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        _bound_send_buffer(self._transport)
        self._inner.connection_made(transport)
        excess = self._connections.add(self._inner, self)
        if excess > SPARE_FILES // 2:
            self._transport.abort()
        elif excess > 0:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._connections.remove(self._inner)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on; between two requests they begin the next one."""
        if self._state == _IDLE:
            self._state, self._due = _HEAD, self._connections.now() + self._connections.limit_s
        if self._state != _REFUSED:
            self._inner.data_received(data)

    def eof_received(self) -> bool:
        """Keep a half-closed connection open for the answers to what it has sent."""
        self._half_closed = True
        self._inner.eof_received()
        self._end_body()
        self._end_when_idle()
        return True

    def _end_when_idle(self, turns: int = _TURNS_TO_NEXT_REQUEST) -> None:
        """End a half-closed connection when no request of it begins within *turns*."""
        if self._ending is not None:
            self._ending.cancel()
        if self._state == _REQUEST or self._writing_paused or self._transport.is_closing():
            return
        if turns:
            loop = asyncio.get_running_loop()
            self._ending = loop.call_soon(self._end_when_idle, turns - 1)
        elif self._state == _HEAD:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            self._transport.close()

    def _end_body(self) -> None:
        """Let nobody wait for the rest of a body, which cannot come any more."""
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("the body ended early"))
            self._body.feed_eof()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._writing_paused = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._writing_paused = False
        self._stuck_since = None
        self._inner.resume_writing()
        if self._half_closed:
            self._end_when_idle()

    def request_started(self, body: StreamReader) -> None:
        """Note that the head of a request is complete. Its handler bounds the time of the body."""
        if self._state < _LAST:
            self._state, self._due = _REQUEST, math.inf
        self._body = body
        if self._half_closed:
            self._end_body()

    def request_ended(self, *, last: bool) -> None:
        """Note that the answer is being written; after the *last* one the connection ends."""
        if self._state == _REQUEST:
            left_s = self._connections.limit_s if last else self._connections.keepalive_s
            self._state, self._due = _LAST if last else _IDLE, self._connections.now() + left_s
        if self._half_closed and not last:
            self._end_when_idle()

    def close_when_idle(self) -> None:
        """Close now, unless a request is in progress or has arrived in part."""
        if self._state not in (_HEAD, _REQUEST):
            self._transport.close()

    def check(self, now: float) -> None:
        """End the connection when its client has taken too long."""
        if self._writing_paused or self._transport.is_closing():
            if self._stuck_since is None:
                self._stuck_since = now
            elif now - self._stuck_since >= self._connections.limit_s:
                self._transport.abort()
        elif now >= self._due:
            if self._state == _HEAD:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            else:
                self._transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        """Send the answer with *status*, and close once the client has had time to read it.

        Closed at once, with bytes of the client unread, the reset could overtake the answer.
        """
        self._state = _REFUSED
        self._due = self._connections.now() + min(_REFUSAL_READ_S, self._connections.limit_s)
        self._transport.write(_ANSWERS[status])
        if self._half_closed:
            self._transport.close()
        self._connections.on_refused(status)


Guards = dict[asyncio.BaseProtocol, Guard]
"""The guard of each open connection, by aiohttp's protocol (`request.protocol`)."""


class Connections:
    """The open connections of one server: make their guards, check their limits, end them.

    *server* makes aiohttp's protocol of a new connection. *guards* is filled and emptied as
    connections come and go. *on_refused* is called with the status of each connection that its
    guard answers.
    """

    def __init__(
        self,
        server: Callable[[], asyncio.Protocol],
        settings: Settings,
        guards: Guards,
        on_refused: Callable[[int], object],
    ) -> None:
        self.limit_s = settings.request_timeout_s
        self.keepalive_s = settings.keepalive_timeout_s
        self._drain_s = settings.shutdown_timeout_s
        self.on_refused = on_refused
        self.now = asyncio.get_running_loop().time
        self._server = server
        self._guards = guards
        self._limit = affordable_connections(settings.max_connections)

    def accept(self) -> Guard:
        """Return the protocol of a new connection; one too many never reaches aiohttp."""
        full = len(self._guards) >= self._limit
        return Guard(self, asyncio.Protocol() if full else self._server())

    def add(self, inner: asyncio.BaseProtocol, guard: Guard) -> int:
        """Keep *guard*; return by how many connections the limit is now exceeded."""
        self._guards[inner] = guard
        return len(self._guards) - self._limit

    def remove(self, inner: asyncio.BaseProtocol) -> None:
        """Forget the guard of a connection that has ended."""
        del self._guards[inner]

    async def keep_checking(self) -> None:
        """End connections that take too long, until cancelled."""
        interval_s = self.limit_s / _CHECKS_PER_LIMIT
        while True:
            await asyncio.sleep(min(interval_s, _LONGEST_CHECK_INTERVAL_S))
            now = self.now()
            for guard in list(self._guards.values()):
                guard.check(now)

    async def drain(self) -> None:
        """Close each connection when it is idle; return when all are, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                while self._guards:
                    for guard in list(self._guards.values()):
                        guard.close_when_idle()
                    await asyncio.sleep(_DRAIN_INTERVAL_S)


def _bound_send_buffer(transport: asyncio.Transport) -> None:
    """Let the system keep only a few unread answers, where it would keep megabytes.

    A client that sends many requests and reads no answer is then stopped after little work.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
