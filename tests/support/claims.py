"""What a claim of a notebook's verdict must do: hold, and turn false when its number changes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.story import Claim


def assert_can_fail(
    claims: Callable[..., list[Claim]],
    good: Mapping[str, Any],
    doctored: Mapping[str, Mapping[str, Any]],
    claim: str,
) -> None:
    """Assert that all of *claims* hold on *good*, and that *claim* fails on its *doctored* input.

    *doctored* must have an input for each of them.
    """
    held = dict(claims(**good))
    assert [text for text, holds in held.items() if not holds] == []
    assert list(held) == list(doctored)
    assert not dict(claims(**{**good, **doctored[claim]}))[claim]


def failing(claims: Sequence[Claim]) -> list[int]:
    """Return the places of the claims that do not hold."""
    return [place for place, (_, holds) in enumerate(claims) if not holds]


def put(table: pd.DataFrame, row: object, column: str, value: object) -> pd.DataFrame:
    """Return *table* with another value in one cell."""
    copy = table.copy()
    copy.loc[row, column] = value
    return copy


def by_hand(numbers: list[int], available: int, results: tuple[str, ...] = ()) -> ByHand:
    """Return what a script of these *results* left: tickets of these *numbers*, and the stock."""
    tickets = pd.DataFrame({"number": numbers, "buyer": "Ann"})
    return ByHand(pd.DataFrame({"result": list(results)}), available, tickets)


def changed(table: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """Return *table* with other values in the first row of *columns*."""
    copy = table.copy()
    for name, value in columns.items():
        copy.loc[copy.index[0], name] = value
    return copy
