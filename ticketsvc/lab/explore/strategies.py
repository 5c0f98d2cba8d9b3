"""Which schedule comes next: all of them, one of each class, or a random sample.

Before each step a strategy chooses the session that takes it (`choose`); after each run it
learns the steps (`learn`); it ends when no schedule is left (`finished`). It knows no database.
"""

import random
from collections.abc import Awaitable, Callable, Sequence

from ticketsvc.lab.explore.classes import Classes, Occurrences
from ticketsvc.lab.explore.orders import count_orders, orderings, races
from ticketsvc.lab.explore.schedules import Run, Step


class Strategy:
    """A way through the tree of schedules."""

    finished = False
    exhaustive = False  # whether every schedule is covered once it is finished

    def begin(self) -> None:
        """Start a run; if the last one was not learnt, start that one again."""

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int | None:
        """Return which of the *ready* sessions goes on, or None when none can."""
        raise NotImplementedError

    def learn(self, steps: Sequence[Step]) -> int:
        """Take a run's steps into account; return how many schedules it represents."""
        raise NotImplementedError


class Exhaustive(Strategy):
    """Every schedule, depth first: the last choice that had an alternative takes it."""

    exhaustive = True

    def __init__(self) -> None:
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


class Reduced(Strategy):
    """One schedule of each class: dynamic partial-order reduction.

    After each run, for every pair of dependent steps that could have come the other way, a
    schedule begins with all the steps that need not follow the first of the two, and then the
    second. If no executed class begins so, it is executed, and goes on in any way.

    The first *alike* sessions run the same program. Of the classes that differ only in which of
    them is which, one is executed, and represents the others too.
    """

    exhaustive = True

    def __init__(self, alike: int = 1) -> None:
        self._classes = Classes(alike)
        self._waiting: list[tuple[bytes, Occurrences]] = []
        self._path, self._begins = b"", Occurrences()

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int:
        """Follow the path; beyond it choose the first ready session."""
        return self._path[len(steps)] if len(steps) < len(self._path) else ready[0]

    def learn(self, steps: Sequence[Step]) -> int:
        """Find the pairs that could have come the other way, and move to the next path."""
        before = orderings(steps)
        occurrences = self._classes.add(steps, before)
        # Else a step did not do the same again.
        self.exhaustive &= self._begins.issubset(occurrences)
        for first, second in races(steps, before):
            rest = [n for n in range(len(steps)) if n != first and not before[n] >> first & 1]
            begins = Occurrences(occurrences[place] for place in rest)
            if not self._classes.cover(begins, steps[second].session):
                path = bytes(steps[place].session for place in (*rest, second))
                self._waiting.append((path, begins))
        self._advance()
        return count_orders(before) * self._classes.images(Occurrences(occurrences))

    def _advance(self) -> None:
        while self._waiting:
            self._path, self._begins = self._waiting.pop()
            if not self._classes.cover(self._begins, self._path[-1]):
                return
        self.finished = True


class Sampled(Strategy):
    """Random schedules: each session is chosen in proportion to the steps it has left.

    *length*: how many steps a session has when it runs alone. If every session takes that many,
    all interleavings are equally likely.
    """

    def __init__(self, runs: int, seed: int, length: int) -> None:
        self.finished = runs <= 0
        self._left = runs
        self._length = length
        self._random = random.Random(seed)  # noqa: S311 - an experiment, repeatable
        self._before = self._random.getstate()

    def begin(self) -> None:
        """Draw again what an unfinished run drew."""
        self._random.setstate(self._before)

    def choose(self, steps: Sequence[Step], ready: Sequence[int]) -> int:
        """Draw a session."""
        taken = [step.session for step in steps]
        weights = [max(1, self._length - taken.count(one)) for one in ready]
        return self._random.choices(ready, weights)[0]

    def learn(self, steps: Sequence[Step]) -> int:
        """Count the run."""
        self._before = self._random.getstate()
        self._left -= 1
        self.finished = self._left <= 0
        return 1


class Fixed(Strategy):
    """One given schedule; `followed` tells whether it exists."""

    def __init__(self, choices: Sequence[int]) -> None:
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


async def choose_strategy(
    run: Callable[[Strategy], Awaitable[Run | None]],
    sessions: int,
    *,
    full: bool,
    sample: int,
    seed: int,
    alike: int = 1,
) -> Strategy:
    """Return the strategy for every schedule (*full*), a *sample*, or one of each class.

    A sample needs the number of steps of a session, so one schedule is *run* for it.
    """
    if not sample:
        return Exhaustive() if full else Reduced(alike)
    serial = await run(Exhaustive())
    most = max(map(serial.choices.count, range(sessions))) if serial else 1
    return Sampled(sample, seed, most)
