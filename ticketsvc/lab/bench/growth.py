"""How cost grows: one thing made larger, everything else left alone. The pure part."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.plan import Case, Contender, fault_of_load

Axis = Literal["tickets", "events", "quantity", "connections"]
AXES: tuple[Axis, ...] = get_args(Axis)

SIZES: Mapping[Axis, tuple[int, ...]] = {
    "tickets": tuple(10**power for power in range(3, 9)),
    "events": (1, 10, 100, 1_000, 10_000),
    "quantity": (8, 80, 800, 8_000),
    "connections": (1, 8, 64, 256, 512),
}
REASONS: Mapping[Axis, str] = {
    "tickets": (
        "a purchase looks at the last ticket sold, by an index whose depth grows with the "
        "logarithm of the rows"
    ),
    "events": (
        "several events no longer queue on one row; with many, few purchases of one event wait "
        "together, and its pool row is written for fewer of them"
    ),
    "quantity": (
        "an answer lists every number, which costs the ceiling as well; where each ticket is a "
        "row, each is written too"
    ),
    "connections": (
        "more purchases wait at the same time: they overlap their round trips, and more of them "
        "can share a statement; past that, they only wait longer"
    ),
}
COSTS = ("server_cpu_us", "database_cpu_us", "wal_bytes")
_FLAT = 0.8


_COLUMN: Mapping[Axis, str] = {
    "tickets": "sold_before",
    "events": "events",
    "quantity": "quantity",
    "connections": "connections",
}


def cases_along(
    axis: Axis,
    contenders: Sequence[Contender],
    base: Case,
    sizes: Sequence[int] = (),
) -> list[Case]:
    """Return the cases: every contender at every size, the rest as *base* has it.

    The ceiling, which sells nothing, is measured where its answer differs. Raise `UsageError`
    when a size cannot be measured.
    """
    found: list[Case] = []
    for size in dict.fromkeys(sizes or SIZES[axis]):
        load = {
            "connections": base.connections,
            "events": base.events,
            "quantity": base.quantity,
            "sold": base.sold,
        }
        load["sold" if axis == "tickets" else axis] = size
        if fault := fault_of_load(**load):
            raise UsageError(f"--size: {fault}")
        for one in contenders:
            found.append(Case(one, **(load if one.sells else {**load, "sold": 0, "events": 1})))
    return list(dict.fromkeys(found))


def read_growth(axis: Axis, grown: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Judge each contender's rows: flat, or else by how much, and why.

    Flat: the rates lie within a fifth, or no further apart than the repetitions of one size do,
    and what the last purchase costs is within a quarter of what the first does.
    *grown*: rows of `figures.summarise`.
    """
    column = _COLUMN[axis]
    judged = []
    for name in dict.fromkeys(row["contender"] for row in grown):
        rows = [row for row in grown if row["contender"] == name and row["kind"] != "ceiling"]
        rates = [row["goodput_per_s"] for row in rows]
        if len(rows) < 2 or None in rates:
            continue
        overlap = max(row["goodput_min"] for row in rows) <= min(row["goodput_max"] for row in rows)
        first, last = rows[0], rows[-1]
        costs = {cost: _times(first[cost], last[cost]) for cost in COSTS}
        flat = (overlap or min(rates) / max(rates) >= _FLAT) and all(
            _FLAT <= times <= 1 / _FLAT for times in costs.values() if times is not None
        )
        judged.append(
            {
                "contender": name,
                "axis": axis,
                "from_size": first[column],
                "to_size": last[column],
                "goodput": rates[-1] / rates[0],
                **costs,
                "least_of_most": min(rates) / max(rates),
                "flat": flat,
                "because": "" if flat else REASONS[axis],
            }
        )
    return judged


def _times(first: float | None, last: float | None) -> float | None:
    return last / first if first and last is not None else None
