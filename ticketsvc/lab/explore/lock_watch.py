"""Wait until a step has had its effect: every session requests, has ended, or is blocked.

Whether a session is blocked is asked of the server (`pg_blocking_pids`), not guessed from the
time it takes.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.explore.changes import Changes
from ticketsvc.lab.explore.effects import overlap
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.sessions import Session

# A session that may be blocked, by what others have locked, is asked about soon. Any other is
# merely slow, and is asked about late.
_ASK_SOON_S = 0.0004
_ASK_LATE_S = 0.05
DEADLOCK_TIMEOUT_MS = 1
# A blocked session that holds locks may become part of a cycle later. After this time its own
# search for a deadlock is normally over, so that the server cancels the one that closes the cycle.
_SEARCH_IS_OVER_S = 0.003

Waits = Mapping[int, tuple[int, ...]]


class LockOrderChanged(Exception):
    """The server let a later waiter go first: this run does not count."""


@dataclass(frozen=True)
class Settled:
    """What a step led to: who is blocked, and by whom; who was blocked before and goes on."""

    waits: Waits = field(default_factory=dict)
    released: Collection[int] = ()


class LockWatch:
    """Watches the sessions of a scheduler while they take their steps."""

    def __init__(
        self, control: AsyncConnection[Any], sessions: Sequence[Session], changes: Changes
    ) -> None:
        self._control = control
        self._sessions = sessions
        self._changes = changes
        self._by_pid = {session.backend_pid: session.place for session in sessions}
        self._blockers = load("explore")["blockers"].query

    async def settle(
        self, steps: Sequence[Step], blocked: Collection[int], ended: Callable[[int], bool]
    ) -> Settled:
        """Wait until every session requests a step, has *ended*, or is blocked by one of those.

        *steps*: those taken so far. *blocked*: the sessions that were blocked before the last
        of them. Raise `LockOrderChanged` when a later waiter got the lock before an earlier one.
        """
        waiting = set(blocked)
        released: set[int] = set()
        seen_since: dict[int, float] = {}
        while True:
            moving = [s for s in self._sessions if not s.requested and not ended(s.place)]
            places = {session.place for session in moving}
            released |= waiting - places
            waiting &= places
            if not moving:
                return Settled({}, released)
            timeout_s = _ASK_SOON_S if self._may_block(moving) else _ASK_LATE_S
            if places - waiting and await self._changes.wait(timeout_s):
                continue
            waits = await self._ask_server(moving)
            if waits and not self._may_deadlock(moving, waiting, seen_since):
                require_lock_order(steps, waits)
                return Settled(waits, released)
            await self._changes.wait(_ASK_SOON_S)

    def _may_block(self, moving: Sequence[Session]) -> bool:
        return any(
            session.taking and session.latest and overlap(session.latest.effect.locks, other.locked)
            for session in moving
            for other in self._sessions
            if other is not session
        )

    async def _ask_server(self, moving: Sequence[Session]) -> Waits:
        """Return who waits for whom; empty while a session still moves, or there is a cycle."""
        pids = [session.backend_pid for session in moving]
        cursor = await self._control.execute(self._blockers, {"pids": pids})
        blockers = {self._by_pid[pid]: by for pid, by in await cursor.fetchall()}
        if not all(by and all(pid in self._by_pid for pid in by) for by in blockers.values()):
            return {}
        waits = {
            place: tuple(sorted(self._by_pid[pid] for pid in by)) for place, by in blockers.items()
        }
        return waits if acyclic(waits) else {}  # the server ends a cycle

    def _may_deadlock(
        self, moving: Sequence[Session], waiting: Collection[int], seen_since: dict[int, float]
    ) -> bool:
        """Tell whether a session that holds locks has begun to wait only just now."""
        now = asyncio.get_running_loop().time()
        for session in moving:
            since = seen_since.setdefault(session.place, now)
            fresh = session.taking and session.place not in waiting
            if fresh and session.locked and now - since < _SEARCH_IS_OVER_S:
                return True
        return False


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
