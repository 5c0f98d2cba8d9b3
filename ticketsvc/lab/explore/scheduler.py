"""Take the steps of a schedule, one at a time: what a case of ours and a scenario have in common.

One step is granted; then the scheduler waits until every session asks for its next one, has
ended, or is seen by the server to wait for another's lock. It never sleeps to make an overlap. No
timer decides anything: a session that does none of these for long makes the exploration say that
it could not tell.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from psycopg import AsyncConnection

from ticketsvc.lab.explore.lock_watch import CouldNotTell, LockOrderChanged, LockWatch
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.explore.turns import Phase, Turn, Turns

_Turn = TypeVar("_Turn", bound=Turn)
_Result = TypeVar("_Result")
_TRIES = 50


class Scheduler(Generic[_Turn, _Result]):
    """Gives the turns, as a strategy chooses."""

    SETTLE_S: ClassVar[float] = 20.0
    """How long a session may do nothing that could be seen, before that is called a wait
    elsewhere."""

    def __init__(self, turns: Turns[_Turn], control: AsyncConnection[Any]) -> None:
        self.turns = turns
        self.represents = 0
        """How many schedules the last one stands for."""
        self._watch = LockWatch(control, turns)

    async def perform(self, strategy: Strategy) -> list[_Result] | None:
        """Run one schedule as *strategy* chooses, and let it learn; return how each session ended.

        Return None when the schedule ends early. Raise `CouldNotTell` when the sessions cannot be
        driven or seen, or when the same schedule keeps going another way.
        """
        for _ in range(_TRIES):
            strategy.begin()
            try:
                complete, results = await self.perform_once(strategy)
            except LockOrderChanged:
                continue
            self.represents = strategy.learn(self.turns.steps)
            return results if complete else None
        raise CouldNotTell(
            f"{_names(self.turns.clients)}: the server took the same steps another way, "
            f"{_TRIES} times"
        )

    async def perform_once(self, strategy: Strategy) -> tuple[bool, list[_Result]]:
        """Put the data back, and take the steps; return whether the schedule reached its end."""
        self.turns.begin()
        tasks: list[asyncio.Task[_Result]] = []
        try:
            for client in self.turns.clients:
                self.turns.runs(client)
                task = asyncio.create_task(self.act(client))
                tasks.append(task)
                task.add_done_callback(partial(self.ended, client))
                await self._settle(client)
            complete = await self._take_steps(strategy)
        except LockOrderChanged:
            raise
        except BaseException:  # the exploration ends: a session may hang for ever
            for task in tasks:
                task.cancel()
            raise
        finally:  # whatever happened: nothing of it runs on into the next schedule
            self.turns.let_run()
            await asyncio.gather(*tasks, return_exceptions=True)
        return complete, [task.result() for task in tasks]

    async def act(self, client: _Turn) -> _Result:
        """Do what *client* does; return how it ended."""
        raise NotImplementedError

    def ended(self, client: _Turn, _: "asyncio.Task[_Result]") -> None:
        """Take note that *client* has ended."""
        self.turns.ended(client)

    async def _take_steps(self, strategy: Strategy) -> bool:
        while ready := self.turns.in_phase(Phase.ASKS):
            self.before_step(ready)
            chosen = strategy.choose(self.turns.steps, [client.index for client in ready])
            if chosen is None:
                return False
            client = self.turns.clients[chosen]
            if client not in ready:
                raise LockOrderChanged
            self.turns.go(client)
            await self._settle(client)
            await self.after_step()
        if stuck := self.turns.in_phase(Phase.AT_SERVER):
            raise CouldNotTell(
                f"{_names(stuck)} waits for a lock that nobody who acts will give back: "
                "a transaction was left open"
            )
        return True

    def before_step(self, ready: Sequence[_Turn]) -> None:
        """Look at the sessions that ask for a turn."""

    async def after_step(self) -> None:
        """Look at what the last step has done."""

    async def _settle(self, mover: _Turn) -> None:
        """Wait until a step has had its effect: each session asks, has ended, or waits for a lock.

        Answers go to one session at a time, first to *mover*.
        """
        turns = self.turns
        waiting = {
            client.index
            for client in turns.in_phase(Phase.AT_SERVER)
            if client.step and client.step.waited_for
        }
        since: dict[int, float] = {}
        while True:
            if turns.problem:
                raise turns.problem
            if turns.searched_late:
                raise LockOrderChanged
            for client in turns.clients:
                if client.index in waiting and client.phase is not Phase.AT_SERVER:
                    waiting.discard(client.index)
                    turns.released(client)
            if running := turns.in_phase(Phase.RUNS):
                if not await self._watch.change(self.SETTLE_S):
                    raise CouldNotTell(
                        f"{_names(running)} waits for something that PostgreSQL does not know of, "
                        "such as a pool without a free connection, a lock elsewhere, or another "
                        "service: give the service a connection for each client, or look at that "
                        "lock"
                    )
                continue
            if at_server := turns.in_phase(Phase.AT_SERVER):
                waits = await self._watch.waits(at_server, waiting, since)
                if not waits:
                    continue
                for client in at_server:
                    turns.update(client, waited_for=waits[client.index])
                    waiting.add(client.index)
            answered = turns.in_phase(Phase.ANSWERED)
            if not answered:
                return
            turns.go(mover if mover in answered else answered[0])


def _names(clients: Sequence[Turn]) -> str:
    return ", ".join(client.name for client in clients)
