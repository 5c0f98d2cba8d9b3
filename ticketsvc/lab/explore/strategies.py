"""Which schedule comes next: all of them, one of each class, or a random sample.

Before each step a strategy chooses the session that takes it (`choose`); after each run it
learns the steps (`learn`); it ends when no schedule is left (`finished`). It knows no database.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ticketsvc.lab.explore.effects import Effect, dependent
from ticketsvc.lab.explore.orders import could_come_first, count_orders, orderings, races
from ticketsvc.lab.explore.schedules import Step


class Strategy(Protocol):
    """A way through the tree of schedules."""

    finished: bool
    exhaustive: bool

    def begin(self) -> None:
        """Start a run; if the last one was not learnt, start that one again."""

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int | None:
        """Return which of the *ready* sessions goes on, or None when the run is redundant."""

    def learn(self, steps: Sequence[Step]) -> int:
        """Take a run's steps into account; return how many schedules it represents, or 0."""


class Exhaustive:
    """Every schedule, depth first: the last choice that had an alternative takes it."""

    exhaustive = True

    def __init__(self) -> None:
        self.finished = False
        self._choices: list[tuple[Sequence[int], int]] = []
        self._kept = 0

    def begin(self) -> None:
        """Forget what an unfinished run added."""
        del self._choices[self._kept :]

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int:
        """Follow the path; beyond it choose the first ready session."""
        if len(steps) == len(self._choices):
            self._choices.append((tuple(ready), 0))
        options, place = self._choices[len(steps)]
        return options[place]

    def learn(self, steps: Sequence[Step]) -> int:
        """Move to the next path."""
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
    """One node of the tree of schedules.

    *wanted*: the sessions to choose here, sooner or later. *asleep*: those that need not be
    chosen, with the effect of their step. *chosen*: the one on the current path.
    """

    ready: Sequence[int]
    wanted: set[int]
    asleep: dict[int, Effect]
    chosen: int = -1
    effect: Effect = field(default_factory=Effect)


class Reduced:
    """One schedule of each class: dynamic partial-order reduction with sleep sets.

    After each run, for every pair of dependent steps that could have come the other way, the
    node of the earlier one gets another session to choose (source sets, Abdulla et al., POPL
    2014). A session whose step was tried at a node sleeps below it until a dependent step.
    """

    exhaustive = True

    def __init__(self) -> None:
        self.finished = False
        self._path: list[_Choice] = []
        self._kept = 0
        self._redundant = False

    def begin(self) -> None:
        """Forget what an unfinished run added."""
        del self._path[self._kept :]
        self._redundant = False

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int | None:
        """Follow the path; beyond it choose the first session that is not asleep."""
        place = len(steps)
        if place:
            self._path[place - 1].effect = steps[-1].effect
        if place == len(self._path):
            asleep = self._still_asleep(place)
            awake = [session for session in ready if session not in asleep]
            if not awake:
                self._redundant = True
                return None
            self._path.append(_Choice(tuple(ready), {awake[0]}, asleep, awake[0]))
        return self._path[place].chosen

    def learn(self, steps: Sequence[Step]) -> int:
        """Find the pairs that could have come the other way, and move to the next path."""
        known = steps[: len(self._path)]
        if known:
            self._path[len(known) - 1].effect = known[-1].effect
        before = orderings(known)
        for first, second in races(known, before):
            instead = could_come_first(known, before, first, second)
            if not self._path[first].wanted.intersection(instead):
                self._path[first].wanted.add(instead[0])
        represents = 0 if self._redundant else count_orders(before)
        self._advance()
        self._kept = len(self._path)
        return represents

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
    """Random schedules: each session is chosen in proportion to the steps it has left.

    *lengths*: how many steps each session has when it runs alone. If every session takes that
    many, all interleavings are equally likely.
    """

    exhaustive = False

    def __init__(self, runs: int, seed: int, lengths: Sequence[int]) -> None:
        self.finished = runs <= 0
        self._left = runs
        self._lengths = lengths
        self._random = random.Random(seed)  # noqa: S311 - an experiment, repeatable
        self._before = self._random.getstate()

    def begin(self) -> None:
        """Draw again what an unfinished run drew."""
        self._random.setstate(self._before)

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int:
        """Draw a session."""
        taken = [step.session for step in steps]
        weights = [max(1, self._lengths[one] - taken.count(one)) for one in ready]
        return self._random.choices(ready, weights)[0]

    def learn(self, steps: Sequence[Step]) -> int:
        """Count the run."""
        self._before = self._random.getstate()
        self._left -= 1
        self.finished = self._left <= 0
        return 1


class Fixed:
    """One given schedule; `followed` tells whether it exists."""

    exhaustive = False

    def __init__(self, choices: Sequence[int]) -> None:
        self.finished = False
        self._choices = choices
        self.followed = True

    def begin(self) -> None:
        """Start from the first step."""
        self.followed = True

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int | None:
        """Return the given session, or None where the schedule cannot be followed."""
        place = len(steps)
        if place >= len(self._choices) or self._choices[place] not in ready:
            self.followed = False
            return None
        return self._choices[place]

    def learn(self, steps: Sequence[Step]) -> int:
        """Finish, and tell whether the schedule was followed to its end."""
        self.finished = True
        self.followed = self.followed and len(steps) == len(self._choices)
        return 1
