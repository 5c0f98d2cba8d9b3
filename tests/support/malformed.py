"""Bodies of a purchase that the service must refuse."""

import json
from typing import Any


def body_of(**changes: Any) -> bytes:
    """Return the JSON of a purchase with *changes*; a field set to `...` is left out."""
    whole = {"userId": "u", "eventId": "E", "quantity": 8, **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


MALFORMED = {
    "quantity negative": (body_of(quantity=-8), "quantity"),
    "quantity zero": (body_of(quantity=0), "quantity"),
    "quantity 7": (body_of(quantity=7), "quantity"),
    "quantity 4": (body_of(quantity=4), "quantity"),
    "quantity 8.0": (body_of(quantity=8.0), "quantity"),
    "quantity 8e0": (body_of(quantity=8).replace(b"8}", b"8e0}"), "quantity"),
    "quantity text": (body_of(quantity="8"), "quantity"),
    "quantity list": (body_of(quantity=[8]), "quantity"),
    "quantity object": (body_of(quantity={"a": 8}), "quantity"),
    "quantity true": (body_of(quantity=True), "quantity"),
    "quantity null": (body_of(quantity=None), "quantity"),
    "quantity 10^12": (body_of(quantity=10**12), "quantity"),
    "quantity of 4000 digits": (body_of(quantity=8).replace(b"8}", b"8" * 4000 + b"}"), "quantity"),
    "quantity of 9000 digits": (body_of(quantity=8).replace(b"8}", b"8" * 9000 + b"}"), "JSON"),
    "quantity 8008": (body_of(quantity=8008), "quantity"),
    "quantity NaN": (body_of(quantity=float("nan")), "quantity"),
    "quantity 1e400": (body_of(quantity=8).replace(b"8}", b"1e400}"), "quantity"),
    "quantity missing": (body_of(quantity=...), "quantity is missing"),
    "userId missing": (body_of(userId=...), "userId is missing"),
    "eventId missing": (body_of(eventId=...), "eventId is missing"),
    "userId by our own name": (body_of(userId=..., user_id="u"), "userId is missing"),
    "userId of 10 kB": (body_of(userId="u" * 10_000), "userId"),
    "eventId of 10 kB": (body_of(eventId="E" * 10_000), "eventId"),
    "eventId of 51 characters": (body_of(eventId="E" * 51), "eventId"),
    "userId empty": (body_of(userId=""), "userId"),
    "eventId empty": (body_of(eventId=""), "eventId"),
    "userId a number": (body_of(userId=1), "userId"),
    "eventId a number": (body_of(eventId=1), "eventId"),
    "eventId null": (body_of(eventId=None), "eventId"),
    "userId with NUL": (body_of(userId="a\0b"), "userId"),
    "eventId with NUL": (body_of(eventId="E\0"), "eventId"),
    "eventId with a newline": (body_of(eventId="E\n"), "eventId"),
    "userId half a character": (body_of(userId="\ud800"), "JSON"),
    "broken JSON": (b'{"userId":', "JSON"),
    "two objects": (body_of() + body_of(), "JSON"),
    "not UTF-8": (b'{"userId":"\xff","eventId":"E","quantity":8}', "JSON"),
    "deeply nested": (b"[" * 60_000, "JSON"),
    "empty body": (b"", "JSON"),
    "null": (b"null", "JSON object"),
    "a list": (b"[]", "JSON object"),
    "a number": (b"8", "JSON object"),
}
"""Every malformed body, and what the error message must name."""
