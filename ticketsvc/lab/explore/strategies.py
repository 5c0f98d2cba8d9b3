"""Which schedule comes next: all of them, one of each class, or a random sample.

A strategy is asked at each step which session goes on (`choose`), and told each run (`learn`),
until it has no more (`finished`). Pure: knows steps, and no database.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ticketsvc.lab.explore.effects import Effect, dependent
from ticketsvc.lab.explore.orders import could_come_first, count_orders, orderings, races
from ticketsvc.lab.explore.schedules import Event


class Strategy(Protocol):
    """A way through the tree of schedules."""

    finished: bool
    exhaustive: bool

    def begin(self) -> None:
        """Take note that a run begins; without a `learn` since the last one, that one again."""

    def choose(self, events: Sequence[Event], ready: Sequence[int]) -> int | None:
        """Return which of the *ready* sessions goes on; None: this run is of no more interest."""

    def learn(self, events: Sequence[Event]) -> int:
        """Take note of a run; return how many schedules it stands for, 0 for none."""


class Exhaustive:
    """Every schedule, depth first: the last choice that had an alternative takes it."""

    exhaustive = True

    def __init__(self) -> None:
        self.finished = False
        self._choices: list[tuple[Sequence[int], int]] = []
        self._kept = 0

    def begin(self) -> None:
        """Forget what a run that did not count had added."""
        del self._choices[self._kept :]

    def choose(self, events: Sequence[Event], ready: Sequence[int]) -> int:
        """Follow the path, then take the first."""
        if len(events) == len(self._choices):
            self._choices.append((tuple(ready), 0))
        options, place = self._choices[len(events)]
        return options[place]

    def learn(self, events: Sequence[Event]) -> int:
        """Go to the next path."""
        while self._choices:
            options, place = self._choices.pop()
            if place + 1 < len(options):
                self._choices.append((options, place + 1))
                self._kept = len(self._choices)
                return 1
        self.finished = True
        return 1


@dataclass
class _Choice:
    """One place in the tree: who goes, who is to go too, who went, who needs not go."""

    ready: Sequence[int]
    wanted: set[int]
    asleep: dict[int, Effect]
    chosen: int = -1
    effect: Effect = field(default_factory=Effect)


class Reduced:
    """One schedule of each class: dynamic partial-order reduction with sleep sets.

    After each run, every pair of dependent steps that could have come the other way makes its
    earlier one's place a place to return to (source sets, Abdulla et al., POPL 2014). A session
    whose step was tried at a place sleeps there until a dependent step wakes it.
    """

    exhaustive = True

    def __init__(self) -> None:
        self.finished = False
        self._path: list[_Choice] = []
        self._kept = 0
        self._redundant = False

    def begin(self) -> None:
        """Forget what a run that did not count had added."""
        del self._path[self._kept :]
        self._redundant = False

    def choose(self, events: Sequence[Event], ready: Sequence[int]) -> int | None:
        """Follow the path, then take the first that does not sleep."""
        place = len(events)
        if place:
            self._path[place - 1].effect = events[-1].effect
        if place == len(self._path):
            asleep = self._still_asleep(place)
            awake = [session for session in ready if session not in asleep]
            if not awake:
                self._redundant = True
                return None
            self._path.append(_Choice(tuple(ready), {awake[0]}, asleep, awake[0]))
        return self._path[place].chosen

    def learn(self, events: Sequence[Event]) -> int:
        """Find what could have come the other way, and go to the next path."""
        known = events[: len(self._path)]
        if known:
            self._path[len(known) - 1].effect = known[-1].effect
        before = orderings(known)
        for first, second in races(known, before):
            instead = could_come_first(known, before, first, second)
            if not self._path[first].wanted.intersection(instead):
                self._path[first].wanted.add(instead[0])
        stands_for = 0 if self._redundant else count_orders(before)
        self._advance()
        self._kept = len(self._path)
        return stands_for

    def _still_asleep(self, place: int) -> dict[int, Effect]:
        if not place:
            return {}
        last = self._path[place - 1]
        return {
            session: effect
            for session, effect in last.asleep.items()
            if not dependent(effect, last.effect)
        }

    def _advance(self) -> None:
        while self._path:
            last = self._path[-1]
            last.asleep[last.chosen] = last.effect
            left = sorted(last.wanted - last.asleep.keys())
            if left:
                last.chosen = left[0]
                return
            self._path.pop()
        self.finished = True


class Sampled:
    """Random schedules: each step is a session's, in proportion to the steps it has left.

    *lengths*: the steps of each session when alone. While nobody is cut short, every
    interleaving is equally likely.
    """

    exhaustive = False

    def __init__(self, runs: int, seed: int, lengths: Sequence[int]) -> None:
        self.finished = runs <= 0
        self._left = runs
        self._lengths = lengths
        self._random = random.Random(seed)  # noqa: S311 - an experiment, repeatable
        self._before = self._random.getstate()

    def begin(self) -> None:
        """Draw as before."""
        self._random.setstate(self._before)

    def choose(self, events: Sequence[Event], ready: Sequence[int]) -> int:
        """Draw."""
        taken = [event.session for event in events]
        weights = [max(1, self._lengths[one] - taken.count(one)) for one in ready]
        return self._random.choices(ready, weights)[0]

    def learn(self, events: Sequence[Event]) -> int:
        """Count down."""
        self._before = self._random.getstate()
        self._left -= 1
        self.finished = self._left <= 0
        return 1


class Fixed:
    """One given schedule, again; stops where it cannot be followed."""

    exhaustive = False

    def __init__(self, choices: Sequence[int]) -> None:
        self.finished = False
        self._choices = choices
        self.followed = True

    def begin(self) -> None:
        """Start over."""
        self.followed = True

    def choose(self, events: Sequence[Event], ready: Sequence[int]) -> int | None:
        """Follow."""
        place = len(events)
        if place >= len(self._choices) or self._choices[place] not in ready:
            self.followed = False
            return None
        return self._choices[place]

    def learn(self, events: Sequence[Event]) -> int:
        """Be done."""
        self.finished = True
        self.followed = self.followed and len(events) == len(self._choices)
        return 1
