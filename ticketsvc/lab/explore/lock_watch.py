"""Tell which sessions wait for a lock: the server says so (`pg_blocking_pids`), no time does."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.errors import TicketsvcError
from ticketsvc.lab.explore.effects import Relations, overlap
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.strategies import Strategy

# A session that may be blocked, by what others have locked, is asked about soon. Any other is
# merely slow, and is asked about late.
_ASK_SOON_S, _ASK_LATE_S = 0.0005, 0.02
DEADLOCK_TIMEOUT_MS = 1  # of every session that is explored
# A blocked session that holds locks may become part of a cycle later. After this time its own
# search for a deadlock is normally over, so that the server cancels the one that closes the cycle.
_SEARCH_IS_OVER_S = 0.003
_STUCK_S = 60.0
_TRIES = 50

Waits = Mapping[int, tuple[int, ...]]
"""Of each session that waits, those that it waits for."""
_Result = TypeVar("_Result")


class CouldNotTell(TicketsvcError, code="could_not_tell"):
    """The schedules could not be driven, seen or repeated: nothing can be said of them."""


class LockOrderChanged(Exception):
    """The server let a later waiter go first: this run does not count."""


class Watched(Protocol):
    """A session as the lock watch sees it: the step that it asks for or took last, its locks."""

    @property
    def index(self) -> int:
        """Its number."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def pid(self) -> int:
        """Its server process."""

    @property
    def step(self) -> Step | None:
        """The step that it asks for, or else its last one."""

    @property
    def locked(self) -> Relations:
        """The relations in which its open transaction holds locks."""


class LockWatch:
    """Watches the sessions of a scheduler while they take their steps.

    *changed* is set whenever a session asks for a step, gets an answer or ends. *session_of*
    returns whose transaction runs in a server process, None where it is nobody's here.
    """

    def __init__(
        self,
        control: AsyncConnection[Any],
        sessions: Sequence[Watched],
        changed: asyncio.Event,
        session_of: Callable[[int], int | None],
    ) -> None:
        self._control = control
        self._sessions = sessions
        self._changed = changed
        self._session_of = session_of
        self._blockers = load("explore")["blockers"]

    async def change(self, timeout_s: float) -> bool:
        """Wait for the next change; return False when there is none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def waits(
        self,
        steps: Sequence[Step],
        moving: Sequence[Watched],
        waiting: Collection[int],
        since: dict[int, float],
    ) -> Waits:
        """Return whom each of *moving* waits for; nothing while one may go on, after a moment.

        *steps*: those taken so far. *waiting*: the sessions that are known to wait. *since*: when
        each was first asked about, to be kept until all have come to rest. Raise
        `LockOrderChanged` when a later waiter got a lock before an earlier one, and `CouldNotTell`
        when a session neither goes on nor waits for another for a minute.
        """
        self._changed.clear()  # what has changed so far is in what was given
        clock = asyncio.get_running_loop().time
        for one in moving:
            since.setdefault(one.index, clock())
        fresh = [one for one in moving if one.index not in waiting]
        soon = any(map(self._may_block, fresh))
        if fresh and await self.change(_ASK_SOON_S if soon else _ASK_LATE_S):
            return {}
        by_pid = {one.pid: one for one in moving}
        cursor = await self._blockers.execute(self._control, pids=[*by_pid])
        waits: dict[int, tuple[int, ...]] = {}
        settled = True
        for pid, blockers in await cursor.fetchall():
            one = by_pid[pid]
            age_s = clock() - since[one.index]
            rivals = [self._session_of(blocker) for blocker in blockers]
            waits[one.index] = tuple(sorted({rival for rival in rivals if rival is not None}))
            if not rivals or None in rivals:
                if age_s > _STUCK_S:
                    raise CouldNotTell(
                        f"{one.name}: a statement has not ended after {_STUCK_S:.0f} s, and "
                        "waits for no other client"
                    )
                settled = False
            elif one in fresh and one.locked and age_s < _SEARCH_IS_OVER_S:
                settled = False
        if settled and acyclic(waits):  # the server ends a cycle
            require_lock_order(steps, waits)
            return waits
        await self.change(_ASK_SOON_S)
        return {}

    def _may_block(self, one: Watched) -> bool:
        locks = one.step.effect.locks if one.step else frozenset()
        return any(overlap(locks, other.locked) for other in self._sessions if other is not one)


async def repeated(
    strategy: Strategy, perform: Callable[[], Awaitable[_Result]], names: object
) -> _Result:
    """Return what *perform* does for *strategy*, again where the server changed an order.

    Raise `CouldNotTell` where it keeps changing that of *names*.
    """
    for _ in range(_TRIES):
        strategy.begin()
        try:
            return await perform()
        except LockOrderChanged:
            pass
    raise CouldNotTell(f"{names}: the server took the same steps another way, {_TRIES} times")


def require_lock_order(steps: Sequence[Step], waits: Waits) -> None:
    """Raise `LockOrderChanged` when a session waits for one that came to the same lock later.

    Of several that wait for a row, the server does not always let the first go first. The run
    is then repeated: the other order belongs to another schedule, in which they come to the
    lock the other way round.
    """
    latest = {step.session: place for place, step in enumerate(steps)}
    for session, by in waits.items():
        for other in by:
            if other not in latest or session not in latest:
                continue
            passed = steps[latest[other]]
            if passed.waited_for and other not in waits and latest[other] > latest[session]:
                raise LockOrderChanged


def acyclic(waits: Waits) -> bool:
    """Tell whether every waiting session waits, in the end, for one that does not wait."""
    free: set[int] = set()
    while True:
        more = {
            place
            for place, by in waits.items()
            if place not in free and all(one not in waits or one in free for one in by)
        }
        if not more:
            return len(free) == len(waits)
        free |= more
