"""Tell which sessions wait for a lock: the server says so (`pg_blocking_pids`), no time does."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.errors import TicketsvcError
from ticketsvc.lab.explore.effects import overlap
from ticketsvc.lab.explore.orders import acyclic
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.turns import Turn, Turns

# A session that may be blocked, by what others have locked, is asked about soon. Any other is
# merely slow, and is asked about late.
_ASK_SOON_S, _ASK_LATE_S = 0.0005, 0.02
DEADLOCK_TIMEOUT_MS = 1  # of every session that is explored
# A blocked session that holds locks may become part of a cycle later. After this time its own
# search for a deadlock is normally over, so that the server cancels the one that closes the cycle.
_SEARCH_IS_OVER_S = 0.003
_STUCK_S = 60.0

Waits = Mapping[int, tuple[int, ...]]
"""Of each session that waits, those that it waits for."""


class CouldNotTell(TicketsvcError, code="could_not_tell"):
    """The schedules could not be driven, seen or repeated: nothing can be said of them."""


class LockOrderChanged(Exception):
    """The server let a later waiter go first, or looked for a deadlock late.

    This run does not count.
    """


class LockWatch:
    """Watches the sessions of a scheduler while they take their steps."""

    def __init__(self, control: AsyncConnection[Any], turns: Turns[Any]) -> None:
        self._control = control
        self._turns = turns
        self._blockers = load("explore")["blockers"]

    async def change(self, timeout_s: float) -> bool:
        """Wait for the next change; return False when there is none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._turns.changed.wait()
        except TimeoutError:
            return False
        self._turns.changed.clear()
        return True

    async def waits(
        self, moving: Sequence[Turn], waiting: Collection[int], since: dict[int, float]
    ) -> Waits:
        """Return whom each of *moving* waits for; nothing while one may go on, after a moment.

        *waiting*: the sessions that are known to wait. *since*: when each was first asked about, to
        be kept until all have come to rest. Raise `LockOrderChanged` when a later waiter got a lock
        before an earlier one, and `CouldNotTell` when a session neither goes on nor waits for
        another for a minute.
        """
        self._turns.changed.clear()  # what has changed so far is in what was given
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
            rivals = [self._turns.index_of(blocker) for blocker in blockers]
            waits[one.index] = tuple(sorted({rival for rival in rivals if rival is not None}))
            if not rivals or None in rivals:
                if age_s > _STUCK_S:
                    raise CouldNotTell(
                        f"{one.name}: a statement has not ended after {_STUCK_S:.0f} s, and "
                        "waits for no other client"
                    )
                settled = False
            elif one in fresh and one.transaction.locked and age_s < _SEARCH_IS_OVER_S:
                settled = False
        if settled and acyclic(waits):  # the server ends a cycle
            require_lock_order(self._turns.steps, waits)
            return waits
        await self.change(_ASK_SOON_S)
        return {}

    def _may_block(self, one: Turn) -> bool:
        locks = one.step.effect.locks if one.step else frozenset()
        return any(
            overlap(locks, other.transaction.locked)
            for other in self._turns.clients
            if other is not one
        )


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
