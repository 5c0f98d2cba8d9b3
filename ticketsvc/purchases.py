"""A purchase, the tickets it gets, and the rules for its fields."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ticketsvc.errors import InvalidPurchase

TICKETS_PER_BLOCK = 8
MAX_QUANTITY = 8_000
QUANTITY_RULE = f"must be a positive multiple of {TICKETS_PER_BLOCK}, at most {MAX_QUANTITY}"
QUANTITY_BOUNDS: Mapping[str, int] = {
    "minimum": TICKETS_PER_BLOCK,
    "maximum": MAX_QUANTITY,
    "multipleOf": TICKETS_PER_BLOCK,
}
"""The same rule as a JSON Schema."""

MAX_ID_LENGTH = 50  # characters, as in the tables' varchar(50)
MAX_KEY_LENGTH = 128  # likewise

_ID_RULE = f"must be a string of 1 to {MAX_ID_LENGTH} characters without control characters"
_RULES: Mapping[str, str] = {
    "userId": _ID_RULE,
    "eventId": _ID_RULE,
    "quantity": f"must be a JSON integer and {QUANTITY_RULE}",
}
_SHOWN_CHARACTERS = 40

# No control characters. Lone surrogates, which UTF-8 cannot encode, are not text for pydantic.
Identifier = Annotated[str, Field(pattern=rf"^\P{{Cc}}{{1,{MAX_ID_LENGTH}}}$")]
_identifier = TypeAdapter(Identifier).validator


def is_identifier(text: str) -> bool:
    """Tell whether *text* can be an event's or a user's id: 1 to 50 characters, none a control."""
    return _identifier.isinstance_python(text)


def is_whole_blocks(tickets: int) -> bool:
    """Tell whether *tickets* is a positive multiple of 8, as every purchase is."""
    return tickets > 0 and tickets % TICKETS_PER_BLOCK == 0


def is_quantity(tickets: int) -> bool:
    """Tell whether one purchase may ask for *tickets*: `QUANTITY_RULE`."""
    return is_whole_blocks(tickets) and tickets <= MAX_QUANTITY


# The string of a structured field, without the characters that would need an escape.
KEY_PATTERN = rf"[!#-\[\]-~]{{1,{MAX_KEY_LENGTH}}}"
_is_key = re.compile(KEY_PATTERN).fullmatch
_KEY_RULE = (
    f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} visible ASCII characters, "
    "without backslash; a UUID in quotation marks is best"
)


@dataclass(slots=True)  # a third of the time that a BaseModel takes
class _Body:
    """The body of a purchase request."""

    __pydantic_config__: ClassVar = ConfigDict(strict=True)

    userId: Identifier  # noqa: N815 - the API's names
    eventId: Identifier  # noqa: N815
    quantity: Annotated[int, Field(gt=0, le=MAX_QUANTITY, multiple_of=TICKETS_PER_BLOCK)]


_validate = TypeAdapter(_Body).validator.validate_json


class Purchase(NamedTuple):
    """One buyer's intent: *quantity* tickets for one event, all or none.

    *key*: a second request with the same key gets the same tickets and buys nothing.
    """

    user_id: str
    event_id: str
    quantity: int
    key: str | None = None

    @classmethod
    def from_json(cls, body: bytes, key: str | None = None) -> "Purchase":
        """Read a purchase from a request's body; its key is not part of that.

        Raise `InvalidPurchase` with one line that names the field and its rule.
        """
        try:
            asked = _validate(body)
        except ValidationError as problem:
            raise InvalidPurchase(_explain(problem)) from None
        return cls(asked.userId, asked.eventId, asked.quantity, key)


def read_key(sent: str) -> str:
    """Return the key in an `Idempotency-Key` header, with or without quotation marks.

    Raise `InvalidPurchase` when it is not 1 to 128 visible ASCII characters.
    """
    quoted = len(sent) > 1 and sent[0] == sent[-1] == '"'
    key = sent[1:-1] if quoted else sent
    if _is_key(key) is None:
        raise InvalidPurchase(_KEY_RULE)
    return key


@dataclass(frozen=True, slots=True)
class TicketRange:
    """Consecutive ticket numbers *first* to *last*, both included."""

    first: int
    last: int

    def numbers(self) -> list[int]:
        """Return every number, ascending."""
        return list(range(self.first, self.last + 1))


def _explain(problem: ValidationError) -> str:
    fault = problem.errors(include_url=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else ""
    if fault["type"] == "json_invalid":
        return "the body must be JSON: " + str(fault["ctx"]["error"])
    if field not in _RULES:
        return "the body must be a JSON object with userId, eventId and quantity"
    if fault["type"] == "missing":
        return f"{field} is missing: it {_RULES[field]}"
    return f"{field} {_RULES[field]}; got {_shown(fault['input'])}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
