"""The classes of schedules that have been executed, and which beginnings they cover.

Pure. An *event* is a step together with all that had to come before it, so it is the same in every
schedule of a class, and in every class that has it. A class is the set of its events.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ticketsvc.lab.explore.schedules import Step

Events = frozenset[int]


class Classes:
    """The executed classes; the first *alike* sessions do the same, and can be renamed."""

    def __init__(self, alike: int) -> None:
        self._renamings = list(itertools.permutations(range(alike)))
        self._numbers: dict[tuple[int, Events], int] = {}
        self._events: list[tuple[int, Events]] = []
        """Of each event its session, and those before it that nothing else before it follows."""
        self._after: defaultdict[int, list[int]] = defaultdict(list)
        """Of each event those that can be the next one of its session; of ~session its first."""
        self._with: defaultdict[int, list[Events]] = defaultdict(list)
        """Of each event the classes that have it."""

    def add(self, steps: Sequence[Step], before: Sequence[int]) -> list[int]:
        """Add the class of *steps*; return their events. *before* is as `orderings` returns it."""
        events: list[int] = []
        latest: dict[int, int] = {}
        for step, mask in zip(steps, before, strict=True):
            event = (step.session, Events(events[place] for place in _last(mask, before)))
            if event not in self._numbers:
                self._numbers[event] = len(self._events)
                self._events.append(event)
                self._after[latest.get(step.session, ~step.session)].append(self._numbers[event])
            latest[step.session] = self._numbers[event]
            events.append(self._numbers[event])
        executed = Events(events)
        for one in executed:
            self._with[one].append(executed)
        return events

    def cover(self, begins: Events, session: int) -> bool:
        """Tell whether an executed class begins with *begins* and then a step of *session*.

        It may also do so after its sessions have been renamed.
        """
        for renaming in self._renamings:
            image = self._renamed(begins, renaming)
            if image is None:
                continue
            following = self._following(image, _renamed(session, renaming))
            if any(image <= executed for event in following for executed in self._with[event]):
                return True
        return False

    def images(self, events: Events) -> int:
        """Count the classes that renaming makes of the class of *events*, itself included."""
        same = sum(self._renamed(events, renaming) == events for renaming in self._renamings)
        return len(self._renamings) // same

    def _following(self, begins: Events, session: int) -> list[int]:
        """Return what the next step of *session* after *begins* has been."""
        own = (event for event in begins if self._events[event][0] == session)
        after = self._after[max(own, default=~session)]
        return [event for event in after if self._events[event][1] <= begins]

    def _renamed(self, events: Events, renaming: Sequence[int]) -> Events | None:
        """Return what *events* become; None when no executed class has one of those."""
        renamed: dict[int, int] = {}
        for event in sorted(events):  # numbered in an order in which they can come
            session, before = self._events[event]
            key = (_renamed(session, renaming), Events(renamed[one] for one in before))
            if key not in self._numbers:
                return None
            renamed[event] = self._numbers[key]
        return Events(renamed.values())


def _renamed(session: int, renaming: Sequence[int]) -> int:
    return renaming[session] if session < len(renaming) else session


def _last(mask: int, before: Sequence[int]) -> Iterable[int]:
    """Return the places in *mask* that come before no other in it."""
    while mask:
        place = mask.bit_length() - 1
        yield place
        mask &= ~(before[place] | 1 << place)
