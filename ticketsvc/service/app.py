"""The application: its routes, its background tasks, and one answer to every request."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from itertools import count
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, web

from ticketsvc.allocators import Allocator
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.database.trace import tracing_purchase
from ticketsvc.errors import TicketsvcError
from ticketsvc.sales.seller import Seller
from ticketsvc.service import routes
from ticketsvc.service.answers import (
    ErrorResponse,
    SaleAnswer,
    error_answer,
    protocol_answer,
    refusal_answer,
)
from ticketsvc.service.metrics import Metrics
from ticketsvc.service.request_limits import MAX_BODY_BYTES
from ticketsvc.service.state import STATE, State

_SUPPORTED_VERSIONS = (HttpVersion11, HttpVersion10)  # the common one first
_log = logging.getLogger("ticketsvc.service.app")
_Handler = Callable[[Any], Awaitable[web.StreamResponse]]

PURCHASE: web.AppKey[_Handler] = web.AppKey("purchase")


def create_app(
    pool: Pool,
    allocator: type[Allocator],
    schema: SchemaName,
    *,
    max_waiting: int,
    body_timeout_s: float = 10.0,
    traced: bool = False,
) -> web.Application:
    """Return an application that opens *pool* when it starts and closes it when it ends.

    *max_waiting*: how many purchases may be in flight; the next one is answered 503 at once.
    *body_timeout_s*: how long a body may take to arrive. *traced*: give each purchase a number,
    under which its statements are recorded.
    """
    metrics = Metrics(allocator.mechanism.name)
    seller = Seller(
        allocator,
        pool,
        schema,
        max_waiting,
        on_sold=metrics.sold,
        on_replayed=metrics.replayed,
    )
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_routed])
    app[STATE] = State(
        pool=pool,
        seller=seller,
        metrics=metrics,
        schema=schema,
        reading=load("reading", schema),
        body_timeout_s=body_timeout_s,
    )
    app.cleanup_ctx.append(_open_pool)
    app.cleanup_ctx.append(_work_beside)
    app.on_shutdown.append(_hang_up)
    purchase = partial(routes.purchase, app[STATE])
    app[PURCHASE] = _numbered(purchase) if traced else purchase
    app.router.add_post("/purchase", app[PURCHASE], expect_handler=_expect)
    for path, handler in routes.GET.items():
        app.router.add_get(path, handler, expect_handler=_expect)
    return app


async def _open_pool(app: web.Application) -> AsyncIterator[None]:
    async with app[STATE].pool:
        yield


async def _hang_up(app: web.Application) -> None:
    """End what is still in flight before its handler is cancelled: see `Pool.hang_up`."""
    app[STATE].pool.hang_up()


async def _work_beside(app: web.Application) -> AsyncIterator[None]:
    """Expire keys, and read the gauges where several processes share them."""
    seller, metrics, pool = app[STATE].seller, app[STATE].metrics, app[STATE].pool
    work: list[Coroutine[Any, Any, None]] = []
    if seller.takes_keys:
        work.append(seller.expire_keys())
    if metrics.shared:
        work.append(metrics.keep_reading_gauges(pool, lambda: seller.in_flight))
    tasks = [asyncio.create_task(each) for each in work]
    yield
    for task in tasks:
        task.cancel()


def _numbered(handler: _Handler) -> _Handler:
    """Return *handler*, which records each request's statements under a number of its own."""
    numbers = count(1)

    async def handle(request: web.Request) -> web.StreamResponse:
        with tracing_purchase(request.headers.get("X-Request-Id") or str(next(numbers))):
            return await handler(request)

    return handle


def _check_before_reading(request: web.Request) -> None:
    """Raise for a version or a transfer coding that is not supported, and for too large a body."""
    if request.version not in _SUPPORTED_VERSIONS:
        raise web.HTTPBadRequest
    declared = request.content_length
    if declared is None:
        codings = request.headers.getall("Transfer-Encoding", ())
        if any(coding.lower() != "chunked" for coding in codings):
            raise web.HTTPUnsupportedMediaType
    elif declared > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES)


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue` before the body is sent; None lets the request go on."""
    try:
        _check_before_reading(request)
        if request.version == HttpVersion11:
            if request.headers["Expect"].lower() != "100-continue":
                raise web.HTTPExpectationFailed
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer itself has not begun
    except web.HTTPException as problem:
        answer = protocol_answer(problem)
        answer.force_close()  # whether the body comes is not known
        return answer
    return None


def before_routing(app: web.Application, routed: _Handler) -> _Handler:
    """Return a handler that answers a purchase at once, and all else through *routed*.

    To find a route, and to call the middleware, costs as much as the rest of a purchase.
    """
    state, purchase = app[STATE], app[PURCHASE]

    def answer(request: web.Request) -> Awaitable[web.StreamResponse]:
        if (
            request.raw_path == "/purchase"
            and request.method == "POST"
            and "Expect" not in request.headers
        ):
            return _answer(state, request, purchase, "/purchase")
        return routed(request)

    return answer


@web.middleware
async def _answer_routed(request: web.Request, handler: _Handler) -> web.StreamResponse:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    return await _answer(request.app[STATE], request, handler, route)


async def _answer(
    state: State, request: web.Request, handler: _Handler, route: str
) -> web.StreamResponse:
    """Answer a request, count it, and tell the connection's guard."""
    guard = state.guards.get(request.protocol)
    if guard is not None:
        guard.request_started(request.content)
    began = time.perf_counter()
    last = True
    try:
        response = await _respond(request, handler)
        # The rest of a body that was not read could hold the connection.
        last = state.draining or not request.content.is_eof()
        if last:
            response.force_close()
    finally:
        if guard is not None:
            guard.request_ended(last=last)
    if not isinstance(response, SaleAnswer):
        state.outbox.send()  # an earlier answer on the same connection goes first
    if isinstance(response, ErrorResponse) and route == "/purchase":
        state.metrics.not_sold(response.error_code)
    state.metrics.answered(route, response.status, time.perf_counter() - began)
    return response


async def _respond(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        _check_before_reading(request)
        return await handler(request)
    except TicketsvcError as problem:
        return refusal_answer(problem, has_key="Idempotency-Key" in request.headers)
    except web.HTTPException as problem:
        answer = protocol_answer(problem)
        if problem.status == web.HTTPBadRequest.status_code:
            answer.force_close()
        return answer
    except Exception:
        _log.exception("a bug: %s %s", request.method, request.rel_url.raw_path)
        return error_answer(500, "the server failed; the purchase may have happened, or not", "bug")
