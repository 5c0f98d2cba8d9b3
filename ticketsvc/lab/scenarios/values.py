"""What the values of a scenario may be, where their type alone does not say it."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from ticketsvc.lab.workload.plan import http_address


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL byte")
    return text


def _address(text: str) -> str:
    """Raise `ValueError` when *text*, with any port, is not the address of a service."""
    address = http_address(text.replace("{port}", "3000").replace("{host}", "127.0.0.1"))
    if address is None or not address.port:
        raise ValueError("must look like http://127.0.0.1:{port}")
    return text


def _variable(name: str) -> str:
    if "=" in name or not name:
        raise ValueError("the name of a variable must not be empty or have a =")
    return _without_nul(name)


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must begin with /")
    return text


def _json(value: Any) -> Any:
    try:
        json.dumps(value)
    except TypeError:
        raise ValueError("must be JSON: a date or a time is none, write it in quotes") from None
    return value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Word = Annotated[str, Field(min_length=1), AfterValidator(_without_nul)]
Address = Annotated[Text, AfterValidator(_address)]
RequestPath = Annotated[Text, AfterValidator(_path)]
VariableName = Annotated[str, AfterValidator(_variable)]
VariableValue = Annotated[str, AfterValidator(_without_nul)]
Json = Annotated[Any, AfterValidator(_json)]
