"""Answers that are not a success: a status and one line of JSON."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE
from pydantic_core import to_json

from ticketsvc.errors import (
    Draining,
    EventNotFound,
    InvalidPurchase,
    KeyReused,
    KeysUnsupported,
    OutcomeUnknown,
    RefusedByDatabase,
    SoldOut,
    TicketNotFound,
    TicketsvcError,
    Unavailable,
)
from ticketsvc.service.outbox import Outbox
from ticketsvc.service.request_limits import MAX_BODY_BYTES

RETRY_AFTER_S = 1
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}

_STATUS: Mapping[type[TicketsvcError], HTTPStatus] = {
    InvalidPurchase: HTTPStatus.BAD_REQUEST,
    EventNotFound: HTTPStatus.NOT_FOUND,
    TicketNotFound: HTTPStatus.NOT_FOUND,
    SoldOut: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    KeysUnsupported: HTTPStatus.BAD_REQUEST,
    RefusedByDatabase: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    OutcomeUnknown: HTTPStatus.SERVICE_UNAVAILABLE,
}
# The code and the message of what is refused before a handler reads the request.
_PROTOCOL_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("malformed_request", "only HTTP/1.0 and HTTP/1.1 are supported"),
    404: ("path_not_found", "no such path"),
    405: ("method_not_allowed", "this method is not allowed here"),
    408: ("request_timeout", "the request did not arrive in time"),
    413: ("too_large", f"the body is larger than {MAX_BODY_BYTES} bytes"),
    415: (
        "unsupported_media_type",
        "send JSON as application/json, without a Content-Encoding or a Transfer-Encoding other "
        "than chunked",
    ),
    417: ("expectation_failed", "the only expectation supported is 100-continue"),
}


class SaleAnswer(web.StreamResponse):
    """The answer to a sale that a kept HTTP/1.1 connection gets: composed at once, sent in batches.

    Its bytes are those of aiohttp's own answer, which composes each head by itself.
    """

    def __init__(self, body: bytes, outbox: Outbox) -> None:
        super().__init__()
        self._sale = body
        self._outbox = outbox
        self._last = False
        self._length = 0

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on the connection."""
        return not self._last

    def force_close(self) -> None:
        """Let no other request follow."""
        self._last = True

    @property
    def body_length(self) -> int:
        """The bytes sent, head included, as aiohttp counts them."""
        return self._length

    async def prepare(self, request: web.BaseRequest) -> None:
        """Hand all of it to the outbox, once the client reads its earlier answers."""
        answer = _head(int(time.time()), self._last) % len(self._sale) + self._sale
        self._length = len(answer)
        await request.writer.drain()
        if request.transport is None:
            return  # the client is gone
        self._outbox.add(request.transport, answer)
        if self._last:  # aiohttp closes the connection now
            self._outbox.send()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the answer is complete."""


@lru_cache(maxsize=2)
def _head(second: int, last: bool) -> bytes:
    headers = {
        **JSON_HEADERS,
        "Content-Length": "%d",
        "Date": formatdate(second, usegmt=True),
        "Server": SERVER_SOFTWARE,
    }
    if last:
        headers["Connection"] = "close"
    return _composed(HTTPStatus.OK, headers)


def _composed(status: HTTPStatus, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


class ErrorResponse(web.Response):
    """An answer that says why not; *error_code* is what a client may switch on."""

    error_code: str


def error_answer(status: int, message: str, code: str) -> ErrorResponse:
    """Return an answer with this status, message and code."""
    response = ErrorResponse(status=status, body=_body(message, code), headers=JSON_HEADERS)
    response.error_code = code
    return response


def refusal_answer(problem: TicketsvcError, *, has_key: bool) -> ErrorResponse:
    """Return the answer to a purchase or a query that ended in *problem*.

    *has_key*: the request names an idempotency key, so that sending it again is always safe.
    """
    answer = error_answer(_status(problem), str(problem), problem.code)
    # Without a key, a client that sends a purchase of unknown outcome again might buy twice.
    if isinstance(problem, Unavailable) or (isinstance(problem, OutcomeUnknown) and has_key):
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(problem, Draining):
        answer.force_close()
    return answer


def protocol_answer(problem: web.HTTPException) -> ErrorResponse:
    """Return the answer to a request that aiohttp, or a check before the handler, refused."""
    code, message = _PROTOCOL_ERRORS.get(problem.status, ("http_error", problem.reason))
    answer = error_answer(problem.status, message, code)
    if "Allow" in problem.headers:
        answer.headers["Allow"] = problem.headers["Allow"]
    return answer


def raw_answer(status: HTTPStatus, message: str, code: str) -> bytes:
    """Return the bytes of an answer after which the connection is closed."""
    body = _body(message, code)
    headers = {**JSON_HEADERS, "Content-Length": str(len(body)), "Connection": "close"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return _composed(status, headers) + body


def _status(problem: TicketsvcError) -> int:
    for kind in type(problem).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _body(message: str, code: str) -> bytes:
    return to_json({"success": False, "error": message, "code": code})
