"""The HTTP contract as an OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from ticketsvc import __version__
from ticketsvc.purchases import KEY_PATTERN, MAX_ID_LENGTH, MAX_KEY_LENGTH, QUANTITY_BOUNDS

MAX_TICKET_NUMBER = 2**31 - 1

_IDENTIFIER = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
}
_COUNT = {"type": "integer"}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_SCHEMAS = {
    "Purchase": _object(
        userId=_IDENTIFIER,
        eventId=_IDENTIFIER,
        quantity={"type": "integer", **QUANTITY_BOUNDS},
    ),
    "Sold": _object(success={"const": True}, tickets={"type": "array", "items": _COUNT}),
    "Error": _object(success={"const": False}, error={"type": "string"}, code={"type": "string"}),
    "Event": _object(eventId={"type": "string"}, total=_COUNT, available=_COUNT),
    "Events": _object(events={"type": "array", "items": {"$ref": "#/components/schemas/Event"}}),
    "Ticket": _object(
        eventId={"type": "string"},
        ticketNumber=_COUNT,
        holders={"type": "array", "minItems": 1, "items": {"type": "string"}},
    ),
    "Status": _object(status={"type": "string"}),
}


def _answer(description: str, schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _retry_later(description: str) -> dict[str, Any]:
    header = {"description": "seconds to wait", "schema": {"type": "integer"}}
    return {**_answer(description, "Error"), "headers": {"Retry-After": header}}


_AWAY = "the database is away, the queue is full, or the server is stopping: nothing was sold"
_UNKNOWN = (
    "; or, with the code outcome_unknown, the connection to the database broke during the "
    "purchase: it may have happened. Send it again under the same key to learn the outcome; "
    "without a key there is no Retry-After"
)
_UNAVAILABLE = {"503": _retry_later(_AWAY)}
_EVENT = {"name": "event", "in": "path", "required": True, "schema": _IDENTIFIER}
_NUMBER = {
    "name": "number",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TICKET_NUMBER},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A purchase sent again under the same key gets the tickets that were sold under "
    "it, and buys no others. A key is kept for at least 24 hours. Only a sale is stored: after a "
    "refusal the purchase is tried again. With or without quotation marks.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY_LENGTH + 2,
        "pattern": rf'^("{KEY_PATTERN}"|{KEY_PATTERN})$',
    },
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}


def _operation(summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an operation that any request may also be refused by, before its handler runs."""
    return {
        "summary": summary,
        **more,
        "responses": dict(sorted({**_PROTOCOL, **responses}.items())),
    }


def _get(summary: str, responses: dict[str, Any], *parameters: Mapping[str, Any]) -> dict[str, Any]:
    more = {"parameters": list(parameters)} if parameters else {}
    return {"get": _operation(summary, responses, **more)}


# A request that is not valid HTTP, or whose headers are too long or too many, is answered 400 with
# a body of plain text.
_PROTOCOL = {
    "400": _answer("the HTTP version is not supported", "Error"),
    "408": _answer("the request did not arrive in time", "Error"),
    "413": _answer("the body is too large", "Error"),
    "417": _answer("an expectation other than 100-continue", "Error"),
    "503": _retry_later("too many connections are open"),
}
_PURCHASE = _operation(
    "Buy consecutive tickets for one event, all or none",
    {
        "200": _answer("sold: the ticket numbers", "Sold"),
        "400": _answer("malformed, missing or out of bounds", "Error"),
        "404": _answer("no such event", "Error"),
        "409": _answer("not enough tickets left", "Error"),
        "422": _answer("the key belongs to another purchase", "Error"),
        "415": _answer("the body is not declared as JSON, or is encoded", "Error"),
        "503": _retry_later(_AWAY + _UNKNOWN),
    },
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Purchase"}}},
    },
)
_READ: dict[str, dict[str, Any]] = {
    "/events": _get(
        "List every event and its stock", {"200": _answer("the events", "Events"), **_UNAVAILABLE}
    ),
    "/events/{event}": _get(
        "Show one event and its stock",
        {
            "200": _answer("the event", "Event"),
            "400": _answer("not an event id", "Error"),
            "404": _answer("no such event", "Error"),
            **_UNAVAILABLE,
        },
        _EVENT,
    ),
    "/events/{event}/tickets/{number}": _get(
        "Show who holds a ticket; more than one holder is a duplicate",
        {
            "200": _answer("the holders", "Ticket"),
            "400": _answer("not an event id or not a ticket number", "Error"),
            "404": _answer("no such event, or the ticket is not issued", "Error"),
            **_UNAVAILABLE,
        },
        _EVENT,
        _NUMBER,
    ),
    "/healthz": _get("Report that the process lives", {"200": _answer("alive", "Status")}),
    "/readyz": _get(
        "Report whether it can sell", {"200": _answer("able to sell", "Status"), **_UNAVAILABLE}
    ),
    "/metrics": _get(
        "Return the counters in Prometheus's text format",
        {"200": {"description": "metrics", "content": {"text/plain": {}}}},
    ),
    "/openapi.json": _get(
        "Return this document",
        {"200": {"description": "the document", "content": {"application/json": {}}}},
    ),
}


def document(*, keys: bool) -> Mapping[str, Any]:
    """Return the contract of a service that takes idempotency keys, or of one that does not."""
    purchase = {**_PURCHASE, "parameters": [_KEY]} if keys else _PURCHASE
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ticketsvc",
            "version": __version__,
            "description": "Sells tickets for events, in consecutive numbers.",
        },
        "paths": {"/purchase": {"post": purchase}, **_READ},
        "components": {"schemas": _SCHEMAS},
    }
