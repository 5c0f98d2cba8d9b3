"""The classes of schedules that have been executed, and which beginnings they cover.

Pure. An *occurrence* is a step together with all that had to come before it, so it is the same in
every schedule of a class, and in every class that has it. A class is the set of its occurrences.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ticketsvc.lab.explore.schedules import Step

Occurrences = frozenset[int]


class Classes:
    """The executed classes; the first *alike* sessions do the same, and can be renamed."""

    def __init__(self, alike: int) -> None:
        self._renamings = list(itertools.permutations(range(alike)))
        self._numbers: dict[tuple[int, Occurrences], int] = {}
        self._occurrences: list[tuple[int, Occurrences]] = []
        """Of each its session, and those before it that nothing else before it follows."""
        self._after: defaultdict[int, list[int]] = defaultdict(list)
        """Of each those that can be the next one of its session; of ~session its first."""
        self._with: defaultdict[int, list[Occurrences]] = defaultdict(list)
        """Of each occurrence the classes that have it."""

    def add(self, steps: Sequence[Step], before: Sequence[int]) -> list[int]:
        """Add the class of *steps*; return their occurrences.

        *before* is as `orderings` returns it.
        """
        occurrences: list[int] = []
        latest: dict[int, int] = {}
        for step, mask in zip(steps, before, strict=True):
            last = Occurrences(occurrences[place] for place in _last(mask, before))
            key = (step.session, last)
            if key not in self._numbers:
                self._numbers[key] = len(self._occurrences)
                self._occurrences.append(key)
                self._after[latest.get(step.session, ~step.session)].append(self._numbers[key])
            latest[step.session] = self._numbers[key]
            occurrences.append(self._numbers[key])
        executed = Occurrences(occurrences)
        for one in executed:
            self._with[one].append(executed)
        return occurrences

    def cover(self, begins: Occurrences, session: int) -> bool:
        """Tell whether an executed class begins with *begins* and then a step of *session*.

        It may also do so after its sessions have been renamed.
        """
        for renaming in self._renamings:
            image = self._renamed(begins, renaming)
            if image is None:
                continue
            following = self._following(image, _renamed(session, renaming))
            if any(
                image <= executed for occurrence in following for executed in self._with[occurrence]
            ):
                return True
        return False

    def images(self, occurrences: Occurrences) -> int:
        """Count the classes that renaming makes of the class of *occurrences*, itself included."""
        same = sum(
            self._renamed(occurrences, renaming) == occurrences for renaming in self._renamings
        )
        return len(self._renamings) // same

    def _following(self, begins: Occurrences, session: int) -> list[int]:
        """Return what the next step of *session* after *begins* has been."""
        own = (occurrence for occurrence in begins if self._occurrences[occurrence][0] == session)
        after = self._after[max(own, default=~session)]
        return [occurrence for occurrence in after if self._occurrences[occurrence][1] <= begins]

    def _renamed(self, occurrences: Occurrences, renaming: Sequence[int]) -> Occurrences | None:
        """Return what *occurrences* become; None when no executed class has one of those."""
        renamed: dict[int, int] = {}
        for occurrence in sorted(occurrences):  # numbered in an order in which they can come
            session, before = self._occurrences[occurrence]
            key = (_renamed(session, renaming), Occurrences(renamed[one] for one in before))
            if key not in self._numbers:
                return None
            renamed[occurrence] = self._numbers[key]
        return Occurrences(renamed.values())


def _renamed(session: int, renaming: Sequence[int]) -> int:
    return renaming[session] if session < len(renaming) else session


def _last(mask: int, before: Sequence[int]) -> Iterable[int]:
    """Return the places in *mask* that come before no other in it."""
    while mask:
        place = mask.bit_length() - 1
        yield place
        mask &= ~(before[place] | 1 << place)
