"""Which steps of a run had to come before which, and how many orders of them there are.

Pure. Two schedules are equivalent when one turns into the other by exchanging neighbouring steps
that are independent (Mazurkiewicz traces); every schedule of a class has the same outcome.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from ticketsvc.lab.explore.effects import dependent
from ticketsvc.lab.explore.schedules import Step

_Node = TypeVar("_Node", bound=Hashable)


def orderings(steps: Sequence[Step]) -> list[int]:
    """Return, for each step, the steps that must come before it, as the bits of an integer.

    Those are: the earlier ones of its session, the one that released its session's last step
    from a lock, the dependent ones that came first, and all that must come before those.
    """
    before: list[int] = []
    for place, step in enumerate(steps):
        mask = 0
        for other in _always_before(steps, place):
            mask |= before[other] | 1 << other
        for other in range(place):
            if not mask >> other & 1 and dependent(steps[other].effect, step.effect):
                mask |= before[other] | 1 << other
        before.append(mask)
    return before


def _always_before(steps: Sequence[Step], place: int) -> list[int]:
    """Return the last step of the same session, and the one that released that from a lock."""
    for earlier in reversed(range(place)):
        if steps[earlier].session == steps[place].session:
            releaser = steps[earlier].released_by
            return [earlier] if releaser is None else [earlier, releaser]
    return []


def count_orders(before: Sequence[int]) -> int:
    """Return how many orders of the steps respect *before* (its linear extensions).

    Works level by level on the sets of steps that can have been taken, with the ways to each.
    """
    sets = {0: 1}
    for _ in before:
        grown: dict[int, int] = {}
        for taken, ways in sets.items():
            for place, needed in enumerate(before):
                bit = 1 << place
                if not taken & bit and needed & ~taken == 0:
                    grown[taken | bit] = grown.get(taken | bit, 0) + ways
        sets = grown
    return next(iter(sets.values()))


def races(steps: Sequence[Step], before: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs of dependent steps, by position, that could have come the other way.

    No third step has to come between the two, and the first did not release the second's
    session from a lock.
    """
    found = []
    for place, step in enumerate(steps):
        always = _always_before(steps, place)
        found += [
            (other, place)
            for other in range(place)
            if other not in always
            and dependent(steps[other].effect, step.effect)
            and not _something_between(before, other, place)
        ]
    return found


def _something_between(before: Sequence[int], first: int, second: int) -> bool:
    return any(
        before[second] >> middle & 1 and before[middle] >> first & 1
        for middle in range(first + 1, second)
    )


def acyclic(before: Mapping[_Node, Iterable[_Node]]) -> bool:
    """Tell whether everything can come after what it has to come after."""
    try:
        TopologicalSorter(before).prepare()
    except CycleError:
        return False
    return True
