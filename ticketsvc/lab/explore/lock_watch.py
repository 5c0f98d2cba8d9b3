"""Wait until a step has had its effect: who goes on, who has ended, who is blocked by whom.

Whether a session is blocked is asked of the server (`pg_blocking_pids`), not concluded from the
time it takes.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import AsyncConnection

from ticketsvc.lab.explore.effects import overlap
from ticketsvc.lab.explore.schedules import Event
from ticketsvc.lab.explore.sessions import Session

# Who can be blocked is asked for soon; who cannot, by what others have locked, is just slow.
_ASK_SOON_S = 0.0004
_ASK_LATE_S = 0.05
DEADLOCK_TIMEOUT_MS = 1
# Who waits and holds locks may be part of a cycle later. By then its own look for deadlocks is
# normally over, so that the server picks the one that closes it.
_LOOK_IS_OVER_S = 0.003
_BLOCKERS = "SELECT pid, pg_blocking_pids(pid) FROM unnest(%s::int[]) AS pid"


class Overtaken(Exception):
    """The server let a later one go first: this run does not count."""


class Watch:
    """Watches the sessions of a stage while they take their steps."""

    def __init__(self, control: AsyncConnection[Any], sessions: Sequence[Session]) -> None:
        self._control = control
        self._sessions = sessions
        self._by_pid = {s.connection.info.backend_pid: s for s in sessions}
        self._pids = {s.place: s.connection.info.backend_pid for s in sessions}
        self._changed: asyncio.Future[bool] | None = None
        for session in sessions:
            session.changed = self.wake

    async def settle(self, events: Sequence[Event], ended: Callable[[int], bool]) -> None:
        """Wait until everybody asks, has *ended*, or is blocked by somebody who does.

        Of *events*, the steps so far, those that had to wait get to know for whom, and what
        released them. Raise `Overtaken` when the server changed the order of those who wait.
        """
        waiting = {s.place for s in self._sessions if s.takes and s.takes.waited_for}
        seen_since: dict[int, float] = {}
        while True:
            moving = [s for s in self._sessions if not s.asks and not ended(s.place)]
            for place in waiting - {s.place for s in moving}:
                _release(events, place)
            waiting &= {s.place for s in moving}
            if not moving:
                return
            patience_s = _ASK_SOON_S if self._may_block(moving) else _ASK_LATE_S
            if any(s.place not in waiting for s in moving) and await self._change(patience_s):
                continue
            if await self._all_blocked(moving, seen_since, events):
                return
            await self._change(_ASK_SOON_S)

    def _may_block(self, moving: Sequence[Session]) -> bool:
        return any(
            session.takes and overlap(session.takes.effect.locks, other.locked)
            for session in moving
            for other in self._sessions
            if other is not session
        )

    async def _all_blocked(
        self,
        moving: Sequence[Session],
        seen_since: dict[int, float],
        events: Sequence[Event],
    ) -> bool:
        """Ask the server; note who waits for whom. False while somebody still moves."""
        pids = [self._pids[session.place] for session in moving]
        rows = await (await self._control.execute(_BLOCKERS, [pids])).fetchall()
        blockers = {self._by_pid[pid].place: by for pid, by in rows}
        if not all(by and all(pid in self._by_pid for pid in by) for by in blockers.values()):
            return False
        blocked = {
            place: tuple(sorted(self._by_pid[pid].place for pid in by))
            for place, by in blockers.items()
        }
        if not _leads_out(blocked):
            return False  # a cycle: the server will end it
        now = asyncio.get_running_loop().time()
        for session in moving:
            since = seen_since.setdefault(session.place, now)
            fresh = session.takes is not None and not session.takes.waited_for
            if fresh and session.locked and now - since < _LOOK_IS_OVER_S:
                return False
        _refuse_overtaking(events, blocked)
        for session in moving:
            if session.takes:
                session.takes.waited_for = blocked[session.place]
        return True

    def wake(self, _: object = None) -> None:
        """Look again: a session asks, or one has ended."""
        self._answer(True)

    def _answer(self, changed: bool) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(changed)

    async def _change(self, patience_s: float) -> bool:
        """Wait until a session asks or ends; False when none did in time."""
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        timer = loop.call_later(patience_s, self._answer, False)
        try:
            return await self._changed
        finally:
            timer.cancel()


def _release(events: Sequence[Event], place: int) -> None:
    step = next(e for e in reversed(events) if e.session == place)
    step.released_by = len(events) - 1


def _refuse_overtaking(events: Sequence[Event], blocked: dict[int, tuple[int, ...]]) -> None:
    """Raise `Overtaken` when somebody waits for one who came to the same lock later.

    Of several that wait for a row, the server does not always let the first go first. A
    schedule in which it did not is played again: the other order is a schedule of its own,
    in which they come the other way round.
    """
    steps = {event.session: n for n, event in enumerate(events)}
    for place, by in blocked.items():
        for other in by:
            passed = events[steps[other]]
            if passed.waited_for and other not in blocked and steps[other] > steps[place]:
                raise Overtaken


def _leads_out(blocked: dict[int, tuple[int, ...]]) -> bool:
    """Tell whether everybody waits, in the end, for somebody who does not."""
    free: set[int] = set()
    while True:
        more = {
            place
            for place, by in blocked.items()
            if place not in free and all(one not in blocked or one in free for one in by)
        }
        if not more:
            return len(free) == len(blocked)
        free |= more
