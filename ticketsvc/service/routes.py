"""What each path does: sell, show what is there, and report how the service is."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import psycopg
from aiohttp import HttpVersion11, web
from pydantic_core import to_json

from ticketsvc.database.error_translation import schema_mismatch
from ticketsvc.database.pool import checkout
from ticketsvc.errors import (
    DatabaseUnavailable,
    Draining,
    EventNotFound,
    InvalidPurchase,
    KeysUnsupported,
    NothingToSell,
    TicketNotFound,
)
from ticketsvc.purchases import Purchase, is_identifier, read_key
from ticketsvc.sales.seller import Seller
from ticketsvc.service.answers import JSON_HEADERS, SaleAnswer
from ticketsvc.service.openapi import MAX_TICKET_NUMBER, document
from ticketsvc.service.request_limits import MAX_BODY_BYTES
from ticketsvc.service.state import STATE, State

_PROBE_TIMEOUT_S = 2.0
COMMIT_LIMIT_S = 2.0  # a commit that waits longer for a synchronous standby: it is away


async def purchase(state: State, request: web.Request) -> web.StreamResponse:
    """Sell tickets, or raise the reason why not."""
    if state.draining:
        raise Draining("the server is stopping: try again shortly")
    packings = request.headers.getall("Content-Encoding", ())
    packed = any(one.lower() != "identity" for one in packings)
    if packed or request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    body = await _body(request, state)
    key = _key(request, state.seller) if "Idempotency-Key" in request.headers else None
    tickets = await state.seller.sell(Purchase.from_json(body, key))
    answer = to_json({"success": True, "tickets": tickets.numbers()})
    if request.keep_alive and request.version == HttpVersion11:
        return SaleAnswer(answer, state.outbox)
    return web.Response(body=answer, headers=JSON_HEADERS)


async def _body(request: web.Request, state: State) -> bytes:
    try:
        if request.content.is_eof():  # all of it is here: nothing is waited for
            body = request.content.read_nowait()
            if len(body) > MAX_BODY_BYTES:
                raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES)
            return body
        async with asyncio.timeout(state.body_timeout_s):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionResetError):
        raise InvalidPurchase("the body could not be decoded, or ended early") from None


def _key(request: web.Request, seller: Seller) -> str:
    sent = request.headers.getall("Idempotency-Key")
    if len(sent) > 1:
        raise InvalidPurchase("Idempotency-Key must be sent once")
    key = read_key(sent[0])
    if not seller.takes_keys:
        raise KeysUnsupported(
            "this service stores no idempotency keys, so sending the purchase again would buy "
            "again: send no key, or use a service with a safe allocator on the schema fixed"
        )
    return key


async def events(request: web.Request) -> web.Response:
    """List every event and its stock."""
    pools = await _fetch(request, "all_pools")
    return _json({"events": [_pool(pool) for pool in pools]})


async def event(request: web.Request) -> web.Response:
    """Show one event and its stock."""
    return _json(_pool(await _existing_pool(request)))


async def ticket(request: web.Request) -> web.Response:
    """Show who holds a ticket, whether it was sold as a row or within a range."""
    name = _event_id(request)
    number = _ticket_number(request)
    holders = []
    if request.app[STATE].schema == "fixed":
        holders = await _fetch(request, "holder_of_range", event=name, number=number)
    # In this order: a range may become rows between the two, and rows never become a range.
    holders = holders or await _fetch(request, "holders_of_row", event=name, number=number)
    if not holders:
        await _existing_pool(request)
        raise TicketNotFound(f"ticket {number} of event {name!r} is not issued")
    return _json(
        {"eventId": name, "ticketNumber": number, "holders": [row.user_id for row in holders]}
    )


async def alive(_: web.Request) -> web.Response:
    """Report that the process lives, whatever the database does."""
    return _json({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """Report whether a purchase could be sold now."""
    if request.app[STATE].draining:
        raise Draining("the server is stopping")
    # In a task of its own: to cancel a statement can take long when the database does not answer.
    probe = asyncio.create_task(_fetch(request, "probe", commit_limit=COMMIT_LIMIT_S))
    await asyncio.wait({probe}, timeout=_PROBE_TIMEOUT_S)
    if not probe.done():
        probe.cancel()
        raise DatabaseUnavailable("the database does not answer")
    (state,) = probe.result()
    if state.read_only:
        raise DatabaseUnavailable("the database is read-only: it cannot sell")
    if not state.may_sell:
        raise DatabaseUnavailable("the role of the service may not sell here")
    if state.unconfirmed:
        raise DatabaseUnavailable("the synchronous standby does not confirm: commits wait for it")
    if not state.has_events:
        raise NothingToSell
    return _json({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """Report the counters in Prometheus's text format."""
    state = request.app[STATE]
    body = state.metrics.text(state.pool, state.seller.in_flight)
    return web.Response(
        body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


async def contract(request: web.Request) -> web.Response:
    """Return the OpenAPI document."""
    return web.Response(
        body=_contract(keys=request.app[STATE].seller.takes_keys), headers=JSON_HEADERS
    )


@cache
def _contract(*, keys: bool) -> bytes:
    return to_json(document(keys=keys))


GET: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "/events": events,
    "/events/{event}": event,
    "/events/{event}/tickets/{number}": ticket,
    "/healthz": alive,
    "/readyz": ready,
    "/metrics": metrics,
    "/openapi.json": contract,
}


async def _fetch(request: web.Request, name: str, **parameters: object) -> list[Any]:
    state = request.app[STATE]
    try:
        async with checkout(state.pool) as connection:
            return await (await state.reading[name].execute(connection, **parameters)).fetchall()
    except psycopg.OperationalError:
        raise DatabaseUnavailable("the connection to the database broke: try again") from None
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
        raise InvalidPurchase("an event id has 1 to 50 characters without control characters")
    return name


def _ticket_number(request: web.Request) -> int:
    text = request.match_info["number"]
    # ASCII digits only: int() also takes other scripts, signs and underscores.
    if re.fullmatch("[0-9]{1,10}", text) and 1 <= int(text) <= MAX_TICKET_NUMBER:
        return int(text)
    raise InvalidPurchase(f"a ticket number is an integer from 1 to {MAX_TICKET_NUMBER}")


def _pool(row: Any) -> dict[str, object]:
    return {"eventId": row.event_id, "total": row.total, "available": row.available}


def _json(body: Any) -> web.Response:
    return web.Response(body=to_json(body), headers=JSON_HEADERS)
