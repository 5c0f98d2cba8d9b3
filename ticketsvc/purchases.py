"""A purchase, the tickets it gets, and the rule both obey."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ticketsvc.errors import InvalidPurchase

TICKETS_PER_BLOCK = 8
MAX_QUANTITY = 8_000
MAX_ID_LENGTH = 50  # characters, as in the tables' varchar(50)

_ID_RULE = f"must be a string of 1 to {MAX_ID_LENGTH} characters without control characters"
_RULES: Mapping[str, str] = {
    "userId": _ID_RULE,
    "eventId": _ID_RULE,
    "quantity": (
        f"must be a JSON integer, a positive multiple of {TICKETS_PER_BLOCK}, "
        f"at most {MAX_QUANTITY}"
    ),
}
_SHOWN_CHARACTERS = 40


# Controls (category Cc) and halves of characters (Cs), which UTF-8 cannot hold.
_IDENTIFIER = f"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_ID_LENGTH}}}"
_is_identifier = re.compile(_IDENTIFIER).fullmatch


def is_identifier(text: str) -> bool:
    """Tell whether *text* can be an event's or a user's id: 1 to 50 characters, none a control."""
    return _is_identifier(text) is not None


# The same rule for the compiled validator, to which a half never gets.
Identifier = Annotated[str, Field(pattern=rf"^\P{{Cc}}{{1,{MAX_ID_LENGTH}}}$")]


class Purchase(BaseModel):
    """One buyer's wish: *quantity* tickets of one event, all or none."""

    model_config = ConfigDict(frozen=True, strict=True, validate_by_name=True)

    user_id: Identifier = Field(alias="userId")
    event_id: Identifier = Field(alias="eventId")
    quantity: int = Field(gt=0, le=MAX_QUANTITY, multiple_of=TICKETS_PER_BLOCK)

    @classmethod
    def from_json(cls, body: bytes) -> "Purchase":
        """Read a purchase from a request's body.

        Raise `InvalidPurchase` with one line that names the field and its rule.
        """
        try:
            return cls.model_validate_json(body, by_alias=True, by_name=False)
        except ValidationError as problem:
            raise InvalidPurchase(_explain(problem)) from None


@dataclass(frozen=True, slots=True)
class TicketRange:
    """Consecutive ticket numbers *first* to *last*, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def numbers(self) -> list[int]:
        """List every number, ascending."""
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
