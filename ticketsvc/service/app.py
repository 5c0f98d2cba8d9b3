"""The HTTP face: an app factory, the routes, and which error gets which status."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from itertools import count
from typing import Any

import psycopg
from aiohttp import HttpVersion11, web
from pydantic_core import to_json

from ticketsvc.allocators import Allocator
from ticketsvc.database.error_translation import schema_mismatch
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import Statement, load
from ticketsvc.database.trace import tracing_purchase
from ticketsvc.errors import (
    DatabaseUnavailable,
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
from ticketsvc.purchases import Purchase, is_identifier, read_key
from ticketsvc.sales.seller import Seller
from ticketsvc.service.answers import (
    JSON_HEADERS,
    MAX_BODY_BYTES,
    RETRY_AFTER_S,
    error_answer,
    protocol_answer,
)
from ticketsvc.service.metrics import Metrics
from ticketsvc.service.openapi import MAX_TICKET_NUMBER, document

SELLER = web.AppKey("seller", Seller)
POOL = web.AppKey("pool", Pool)
METRICS = web.AppKey("metrics", Metrics)
READING = web.AppKey("reading", Mapping[str, Statement])
SCHEMA = web.AppKey("schema", str)
STATE = web.AppKey("state", dict[str, bool])

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
_log = logging.getLogger("ticketsvc.service.app")
_PROBE_PATIENCE_S = 2.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    pool: Pool,
    allocator: type[Allocator],
    schema: SchemaName,
    *,
    max_waiting: int,
    traced: bool = False,
) -> web.Application:
    """Make the application; it opens *pool* when it starts and closes it when it ends.

    *max_waiting*: how many purchases may be under way; beyond that 503 at once.
    *traced*: give each purchase a number, under which its statements are recorded.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_errors])
    app[POOL] = pool
    counts = app[METRICS] = Metrics(allocator.mechanism.name)
    app[SELLER] = Seller(
        allocator,
        pool,
        schema,
        max_waiting,
        on_sold=counts.sold,
        on_replayed=counts.replayed,
    )
    app[READING] = load("reading", schema)
    app[SCHEMA] = schema
    app[STATE] = {"draining": False}
    app.cleanup_ctx.append(_pool_life)
    if app[SELLER].takes_keys:
        app.cleanup_ctx.append(_keys_expire)
    if app[METRICS].shared:
        app.cleanup_ctx.append(_pool_told)
    selling = _numbered(purchase) if traced else purchase
    app.router.add_post("/purchase", selling, expect_handler=_expected)
    reading: dict[str, _Handler] = {
        "/events": events,
        "/events/{event}": event,
        "/events/{event}/tickets/{number}": ticket,
        "/healthz": alive,
        "/readyz": ready,
        "/metrics": metrics,
        "/openapi.json": contract,
    }
    for path, handler in reading.items():
        app.router.add_get(path, handler, expect_handler=_expected)
    return app


async def _pool_life(app: web.Application) -> AsyncIterator[None]:
    # Not waited for: a database that goes away meanwhile is said to be away, until it is back.
    await app[POOL].open(wait=False)
    yield
    await app[POOL].close()


async def _pool_told(app: web.Application) -> AsyncIterator[None]:
    looking = asyncio.create_task(_read_gauges(app))
    yield
    looking.cancel()


async def _read_gauges(app: web.Application) -> None:
    await app[METRICS].keep_reading_gauges(app[POOL], lambda: app[SELLER].in_flight)


async def _keys_expire(app: web.Application) -> AsyncIterator[None]:
    expiring = asyncio.create_task(app[SELLER].keep_forgetting_keys())
    yield
    expiring.cancel()


async def purchase(request: web.Request) -> web.Response:
    """Sell, or say in one line why not."""
    app = request.app
    if app[STATE]["draining"]:
        raise Draining("the server is stopping: buy elsewhere, or try again shortly")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send the body as Content-Type: application/json")
    try:
        body = await request.read()
    except (web.RequestPayloadError, ConnectionResetError):
        raise InvalidPurchase("the body could not be decoded, or broke off") from None
    tickets = await app[SELLER].sell(Purchase.from_json(body, _key(request)))
    return _json({"success": True, "tickets": tickets.numbers()})


def _key(request: web.Request) -> str | None:
    sent = request.headers.getall("Idempotency-Key", ())
    if not sent:
        return None
    if len(sent) > 1:
        raise InvalidPurchase("Idempotency-Key must be sent once")
    key = read_key(sent[0])
    if not request.app[SELLER].takes_keys:
        raise KeysUnsupported(
            "this service keeps no idempotency keys, so that asking again would buy again: "
            "send none, or buy of one that sells by a safe allocator from the schema fixed"
        )
    return key


async def events(request: web.Request) -> web.Response:
    """List every event with its stock."""
    pools = await _fetch(request, "all_pools")
    return _json({"events": [_pool(pool) for pool in pools]})


async def event(request: web.Request) -> web.Response:
    """Show one event with its stock."""
    return _json(_pool(await _existing_pool(request)))


async def ticket(request: web.Request) -> web.Response:
    """Show who holds a ticket, whether it was sold as a row or within a range."""
    name = _event_id(request)
    number = _ticket_number(request)
    holders = await _fetch(request, "holders_of_row", event=name, number=number)
    if request.app[SCHEMA] == "fixed":
        holders += await _fetch(request, "holder_of_range", event=name, number=number)
    if not holders:
        await _existing_pool(request)
        raise TicketNotFound(f"ticket {number} of event {name!r} is not issued")
    return _json(
        {"eventId": name, "ticketNumber": number, "holders": [row.user_id for row in holders]}
    )


async def alive(_: web.Request) -> web.Response:
    """Say that the process lives, whatever the database does."""
    return _json({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """Say whether a purchase could be sold now."""
    if request.app[STATE]["draining"]:
        raise Draining("the server is stopping")
    # A task, because cancelling a statement of a database that does not answer takes long, too.
    probe = asyncio.create_task(_fetch(request, "probe"))
    await asyncio.wait({probe}, timeout=_PROBE_PATIENCE_S)
    if not probe.done():
        probe.cancel()
        raise DatabaseUnavailable("the database does not answer")
    rows = probe.result()
    if rows[0].read_only:
        raise DatabaseUnavailable("the database takes no writes: it cannot sell")
    if not rows[0].may_sell:
        raise DatabaseUnavailable("the service's role may not sell here")
    return _json({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """Render the counters."""
    body = request.app[METRICS].text(request.app[POOL], request.app[SELLER].in_flight)
    return web.Response(
        body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


async def contract(request: web.Request) -> web.Response:
    """Serve the OpenAPI document."""
    return _json(document(keys=request.app[SELLER].takes_keys))


def _numbered(handler: _Handler) -> _Handler:
    """Return each request a number under which its statements can be traced."""
    numbers = count(1)

    async def handle(request: web.Request) -> web.StreamResponse:
        with tracing_purchase(request.headers.get("X-Request-Id") or str(next(numbers))):
            return await handler(request)

    return handle


def _refuse_large(request: web.Request) -> None:
    """Raise 413 for a body that says it is too large, before it is sent."""
    declared = request.content_length
    if declared is not None and declared > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES)


async def _expected(request: web.Request) -> web.StreamResponse | None:
    """Tell a client that asks first to go on, or why not; None: its request goes on."""
    try:
        _refuse_large(request)
        if request.version >= HttpVersion11:
            if request.headers["Expect"].lower() != "100-continue":
                raise web.HTTPExpectationFailed
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer itself has not begun
    except web.HTTPException as problem:
        return protocol_answer(problem)
    return None


@web.middleware
async def _answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    began = time.perf_counter()
    response: web.StreamResponse
    try:
        _refuse_large(request)
        response = await handler(request)
    except TicketsvcError as problem:
        response = error_answer(_status(problem), str(problem), problem.code)
        # Not when the outcome is unknown and there is no key: who obeyed it might buy twice.
        if isinstance(problem, Unavailable) or (
            isinstance(problem, OutcomeUnknown) and "Idempotency-Key" in request.headers
        ):
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        if isinstance(problem, Draining):
            response.force_close()
    except web.HTTPException as problem:
        response = protocol_answer(problem)
    except Exception:
        _log.exception("a bug: %s %s", request.method, request.rel_url.raw_path)
        response = error_answer(
            500, "the server failed; the purchase may have happened, or not", "bug"
        )
    code = getattr(response, "error_code", None)
    if code and request.path == "/purchase":
        request.app[METRICS].not_sold(code)
    resource = request.match_info.route.resource
    request.app[METRICS].answered(
        resource.canonical if resource else "unknown",
        response.status,
        time.perf_counter() - began,
    )
    return response


def _status(problem: TicketsvcError) -> int:
    for kind in type(problem).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


async def _fetch(request: web.Request, name: str, **parameters: object) -> list[Any]:
    statement = request.app[READING][name]
    try:
        async with checkout(request.app[POOL]) as connection:
            return await (await statement.execute(connection, **parameters)).fetchall()
    except psycopg.OperationalError:
        raise DatabaseUnavailable("the database went away: try again shortly") from None
    except psycopg.DataError:
        raise InvalidPurchase("the database cannot hold an event id like this") from None
    except (psycopg.ProgrammingError, psycopg.InternalError) as problem:
        raise schema_mismatch(problem) from None


async def _existing_pool(request: web.Request) -> Any:
    name = _event_id(request)
    rows = await _fetch(request, "one_pool", event=name)
    if not rows:
        raise EventNotFound(name)
    return rows[0]


def _event_id(request: web.Request) -> str:
    name = request.match_info["event"]
    if not is_identifier(name):
        raise InvalidPurchase("an event id has 1 to 50 characters, none of them control ones")
    return name


def _ticket_number(request: web.Request) -> int:
    text = request.match_info["number"]
    # Digits of ASCII only: int() takes other scripts, signs and underscores too.
    longest = len(str(MAX_TICKET_NUMBER))
    if text.isascii() and text.isdigit() and len(text) <= longest:
        number = int(text)
        if 1 <= number <= MAX_TICKET_NUMBER:
            return number
    raise InvalidPurchase(f"a ticket number is an integer from 1 to {MAX_TICKET_NUMBER}")


def _pool(row: Any) -> dict[str, object]:
    return {"eventId": row.event_id, "total": row.total, "available": row.available}


def _json(body: Any) -> web.Response:
    return web.Response(body=to_json(body), headers=JSON_HEADERS)
