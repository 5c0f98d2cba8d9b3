"""Which steps of a run had to come before which, and how many orders of them there are.

Pure. Two schedules are equivalent when one turns into the other by exchanging neighbouring steps
that are independent (Mazurkiewicz traces); every schedule of a class has the same outcome.
"""

from collections.abc import Sequence

from ticketsvc.lab.explore.effects import dependent
from ticketsvc.lab.explore.schedules import Step


def orderings(steps: Sequence[Step]) -> list[int]:
    """Return, for each step, the steps that must come before it, as the bits of an integer.

    Those are: the earlier ones of its session, the one that released its session's last step
    from a lock, the dependent ones that came first, and all that must come before those.
    """
    before: list[int] = []
    latest: dict[int, int] = {}
    for place, step in enumerate(steps):
        mask = 0
        previous = latest.get(step.session)
        if previous is not None:
            mask |= before[previous] | 1 << previous
            releaser = steps[previous].released_by
            if releaser is not None:
                mask |= before[releaser] | 1 << releaser
        for other in range(place):
            if not mask >> other & 1 and dependent(steps[other].effect, step.effect):
                mask |= before[other] | 1 << other
        # A later dependent step may lie after one that was looked at first: close over them.
        for other in range(place):
            if mask >> other & 1:
                mask |= before[other]
        before.append(mask)
        latest[step.session] = place
    return before


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
    latest: dict[int, int] = {}
    for place, step in enumerate(steps):
        previous = latest.get(step.session)
        releaser = steps[previous].released_by if previous is not None else None
        for other in range(place):
            if (
                steps[other].session != step.session
                and other != releaser
                and dependent(steps[other].effect, step.effect)
                and not _something_between(before, other, place)
            ):
                found.append((other, place))
        latest[step.session] = place
    return found


def _something_between(before: Sequence[int], first: int, second: int) -> bool:
    return any(
        before[second] >> middle & 1 and before[middle] >> first & 1
        for middle in range(first + 1, second)
    )
