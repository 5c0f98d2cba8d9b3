"""Where each session of a schedule stands: it runs, asks for a turn, is at the server, or ended.

A session asks here before a statement goes to the server. The scheduler lets one go, and hears of
every change.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic, TypeVar

from ticketsvc.lab.explore.effects import (
    NOTHING,
    Effect,
    Footprint,
    Relations,
    end_of_transaction,
    statement,
)
from ticketsvc.lab.explore.schedules import Step

_DEADLOCK = "40P01"
_KEEPS_SNAPSHOT = ("repeatable read", "serializable")


class Phase(Enum):
    """What a session is doing."""

    RUNS = "runs its own code"
    ASKS = "asks for a turn"
    AT_SERVER = "is at the server"
    ANSWERED = "has an answer that waits"
    ENDED = "has ended"


@dataclass
class Transaction:
    """What a session's open transaction has done so far: what it touched, and what it locks."""

    level: str = ""
    """Its isolation level; "" where none is open and none is known."""
    touched: Relations = NOTHING
    locked: Relations = NOTHING
    begun: bool = False

    @property
    def keeps_snapshot(self) -> bool:
        """Whether all its statements see what the first one did."""
        return self.level in _KEEPS_SNAPSHOT

    def add(self, footprint: Footprint, *, alone: bool, mixed: bool = False) -> Effect:
        """Return the effect of a statement; unless it commits *alone*, note what it touches.

        *mixed*: the text that it comes in also begins or ends a transaction.
        """
        effect = statement(
            footprint,
            ends=alone or mixed,
            snapshot=not alone and self.keeps_snapshot and not self.begun,
            serializable=self.level == "serializable",
        )
        if not alone:
            self.begun = True
            self.touched |= footprint.changes
        return effect

    def end(self) -> Effect:
        """Return the effect of its COMMIT or ROLLBACK."""
        return end_of_transaction(self.touched, serializable=self.level == "serializable")

    def forget(self) -> None:
        """Take note that it has ended."""
        self.level, self.begun = "", False
        self.touched = self.locked = NOTHING


class Turn:
    """One session: what it does, the step that it asks for, and where its last one stands.

    *going* is set when the step, or the answer, may go. *place*: of its last step in the schedule.
    *pid*: the server process of that step.
    """

    def __init__(self, turns: "Turns[Any]", index: int, name: str, pid: int = 0) -> None:
        self.turns, self.index, self.name, self.pid = turns, index, name, pid
        self.phase = Phase.ENDED
        self.transaction = Transaction()
        self.asked: Step | None = None
        self.place: int | None = None
        self.going: asyncio.Future[None] | None = None

    @property
    def step(self) -> Step | None:
        """The step that it asks for, or else its last one."""
        if self.phase is Phase.ASKS:
            return self.asked
        return None if self.place is None else self.turns.steps[self.place]


_Turn = TypeVar("_Turn", bound=Turn)


class Turns(Generic[_Turn]):
    """The sessions of one exploration, and the steps that they have taken in this schedule."""

    def __init__(self, *, searches_soon: bool = True) -> None:
        self.clients: Sequence[_Turn] = ()
        self.steps: list[Step] = []
        self.active = False
        """Whether statements are held."""
        self.changed = asyncio.Event()
        """Set whenever a session asks for a step, gets an answer or ends."""
        self.problem: Exception | None = None
        """Why nothing more can be told."""
        self.searches_soon = searches_soon
        """Whether a session that waits looks for a deadlock before another one goes on."""
        self.searched_late = False
        """Whether one that had waited before it found the deadlock that a later step closed."""

    def begin(self) -> None:
        """Hold statements from now on."""
        self.active, self.searched_late = True, False
        self.steps = []
        for client in self.clients:
            client.asked = client.place = None

    def let_run(self) -> None:
        """Let every statement and answer pass from now on."""
        self.active = False
        for client in self.clients:
            if client.going and not client.going.done():
                client.going.set_result(None)

    def in_phase(self, phase: Phase) -> list[_Turn]:
        """Return the sessions that do the one thing."""
        return [client for client in self.clients if client.phase is phase]

    def runs(self, client: _Turn) -> None:
        """Take note that *client*'s own code runs."""
        client.phase = Phase.RUNS

    def ended(self, client: _Turn) -> None:
        """Take note that *client* has ended."""
        client.phase = Phase.ENDED
        self.changed.set()

    def go(self, client: _Turn) -> None:
        """Let *client*'s step go to the server, or its answer back to it."""
        assert client.going  # noqa: S101 - only who waits is let go
        if client.phase is Phase.ASKS and client.asked:
            client.place = len(self.steps)
            self.steps.append(client.asked)
            client.phase = Phase.AT_SERVER
        else:
            self.runs(client)
        client.going.set_result(None)

    async def ask(self, client: _Turn, step: Step) -> None:
        """Return when *client*'s *step* may go to the server."""
        if self.active:
            client.asked = step
            await self.hold(client, Phase.ASKS)

    async def hold(self, client: _Turn, phase: Phase) -> None:
        """Return when *client*, which waits in *phase*, is let go."""
        client.phase = phase
        client.going = asyncio.get_running_loop().create_future()
        self.changed.set()
        await client.going

    def update(self, client: _Turn, **changes: Any) -> None:
        """Note what has become of *client*'s last step."""
        if client.place is not None:
            self.steps[client.place] = replace(self.steps[client.place], **changes)

    def publish(self, place: int, relations: Relations) -> None:
        """Note that the step at *place* also made *relations* visible."""
        step = self.steps[place]
        effect = replace(step.effect, publishes=step.effect.publishes | relations)
        self.steps[place] = replace(step, effect=effect)

    def failed(self, client: _Turn, error: str) -> None:
        """Note that *client*'s step failed.

        Its transaction is gone, and its locks with it: the sessions that wait for them see that.
        A step that waited makes that visible where it was released.
        """
        if client.place is not None:
            self.update(client, error=error)
            place = -1 if self.steps[client.place].waited_for else client.place
            # Nothing let it go on: so it would have waited, had the last step not closed the cycle.
            stayed = place == -1 and not self.steps[-1].effect.publishes
            self.searched_late |= self.searches_soon and error == _DEADLOCK and stayed
            self.publish(place, client.transaction.touched)

    def released(self, client: _Turn) -> None:
        """Note that the last step let *client*'s step go on, and so made visible what that does."""
        if client.place is not None:
            self.publish(-1, self.steps[client.place].effect.publishes)
            self.update(client, released_by=len(self.steps) - 1)

    def index_of(self, pid: int) -> int | None:
        """Return whose transaction runs in the server process *pid*; None: nobody's here."""
        return next((client.index for client in self.clients if client.pid == pid), None)
