"""Record the figures of a notebook, for a comparison with another run.

A figure knows its noise: the factor by which two runs may differ though nothing has changed. A
comparison calls nothing different that lies within it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

EXACT = 1.0
"""A count that every run must repeat."""
REPEATED = 1.25
"""Measured at least `ENOUGH` times: from run to run a machine drifts more than within one."""
ONCE = 4.0
"""Measured a few times or once, as the duration of a notebook is: on a machine with five times
the work it could do, equal runs differed by a factor of up to 2.4."""
ENOUGH = 4
WAL = 1.05
"""Bytes of WAL: now and then the server adds a record of its own."""


@dataclass(frozen=True)
class RecordedFigure:
    """A value with its unit, the lowest and highest that was measured, and its noise."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    noise: float


_recorded: dict[str, RecordedFigure] = {}


def record(name: str, unit: str, *values: float, noise: float | None = None) -> None:
    """Record the median of *values*, their least and their most; the verdict takes it along.

    It replaces an earlier figure of this *name*. *noise*: when it does not follow from how many
    values there are.
    """
    if noise is None:
        noise = REPEATED if len(values) >= ENOUGH else ONCE
    low, middle, high = map(float, (min(values), median(values), max(values)))
    _recorded[name] = RecordedFigure(name, unit, middle, low, high, noise)


def recorded() -> list[Mapping[str, Any]]:
    """Return what this process has recorded, as JSON can hold it."""
    return [asdict(figure) for figure in _recorded.values()]
