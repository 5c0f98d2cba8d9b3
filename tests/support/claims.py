"""What a claim of a notebook's verdict must do: hold, and turn false when its number changes."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from numbers import Real
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.story import Claims


def unfalsified(claims: Callable[..., Claims], evidence: dict[str, Any]) -> list[str]:
    """Return the *claims* that hold whichever number, word or row of *evidence* is another.

    All of them must hold on *evidence* as it is.
    """
    held = claims(**evidence)
    assert [text for text, holds in held.items() if not holds] == []
    left = dict(enumerate(held))
    for other in _changed(evidence):
        with contextlib.suppress(Exception):  # the change may have left no evidence at all
            holding = [*claims(**other).values()]
            if len(holding) == len(held):
                left = {place: text for place, text in left.items() if holding[place]}
        if not left:
            break
    return [*left.values()]


def _changed(value: Any) -> Iterator[Any]:
    """Yield copies of *value*, each with one number, word or row changed."""
    match value:
        case bool() | np.bool_():
            yield not value
        case Real():
            yield from (0, 1000 * value) if value else (1,)
        case str():
            yield from ("", "waits", "nobody")  # words that a claim may look for
        case pd.DataFrame():
            yield value.iloc[1:]
            for row, column in np.ndindex(value.shape):
                for new in _changed(value.iat[row, column]):
                    copy = value.astype(object)
                    copy.iat[row, column] = new
                    yield copy.infer_objects()
        case dict():
            yield from ({**value, key: new} for key in value for new in _changed(value[key]))
        case list() | tuple() | frozenset():
            items = [*value]
            yield from (type(value)(items[1:]), type(value)([*items, ""]))
            for place, item in enumerate(items):
                for new in _changed(item):
                    yield type(value)([*items[:place], new, *items[place + 1 :]])
        case SimpleNamespace():
            yield from (SimpleNamespace(**other) for other in _changed(vars(value)))
        case _ if is_dataclass(value):
            own = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
            yield from (replace(value, **other) for other in _changed(own))


def by_hand(numbers: list[int], available: int, *results: str) -> ByHand:
    """Return what a script of these *results* left: tickets of these *numbers*, and the stock."""
    tickets = pd.DataFrame({"number": numbers, "buyer": "Ann"})
    return ByHand(pd.DataFrame({"result": list(results)}), available, tickets)
