"""The outcomes of a schedule as they are shown: colour, mark and words, the same everywhere.

The colours are Okabe and Ito's, which the colour-blind can tell apart; the mark repeats the colour.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How one outcome of a schedule is shown. *ink*: legible on *colour*."""

    kind: str
    mark: str
    colour: str
    ink: str
    words: str


LOOKS = {
    look.kind: look
    for look in (
        Look("clean", "✓", "#56B4E9", "#0d2233", "every ticket once, every answer true"),
        Look(
            "refused with stock", "R", "#F0E442", "#3a3500", "a buyer refused, enough tickets left"
        ),
        Look("other violation", "!", "#5F6770", "#ffffff", "the invariant broken in another way"),
        Look("duplicate", "D", "#CC79A7", "#2e0a1d", "a ticket number issued twice"),
        Look("oversold", "O", "#E69F00", "#2b1d00", "more tickets issued than there are"),
        Look("oversold, duplicate", "OD", "#B84A00", "#ffffff", "both at once"),
    )
}
"""Of an allocator's schedules, by `ScheduleRun.kind`, from the best to the worst."""

SCENARIO_LOOKS = {
    look.kind: look
    for look in (
        Look("clean", "✓", "#56B4E9", "#0d2233", "every invariant holds"),
        Look("could not tell", "?", "#C8CED6", "#1c2530", "nothing violated, but not all seen"),
        Look("violating", "✗", "#B84A00", "#ffffff", "an invariant is violated"),
    )
}
"""Of a scenario's schedules, from the best to the worst."""

_ORDER = (*LOOKS.values(), *SCENARIO_LOOKS.values())


def in_order(looks: Iterable[Look]) -> list[Look]:
    """Return each of *looks* once, from the best to the worst."""
    return sorted(set(looks), key=_ORDER.index)
