"""Run schedules: real allocators on real sessions, one step at a time.

The scheduler grants one step, then waits until every session has requested its next step, has
ended, or is blocked by another's lock, as the server says. It never sleeps to make an overlap.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, cast

from psycopg import AsyncClientCursor, AsyncConnection

from ticketsvc.allocators import Allocator
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName, reset_steps
from ticketsvc.database.statements import SQL_FOLDER, load
from ticketsvc.errors import OutcomeUnknown, TicketsvcError
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.explore.cases import EVENT, Case
from ticketsvc.lab.explore.effects import NOTHING
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.lock_watch import (
    CouldNotTell,
    LockOrderChanged,
    LockWatch,
    Waits,
    repeated,
)
from ticketsvc.lab.explore.schedules import Answer, ScheduleRun, Step
from ticketsvc.lab.explore.sessions import Session, SteppedConnection
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.ledger.reader import ledger_from, ledger_statement
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt, Outcome
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import sell

_RUNS_PER_VACUUM = 20


class CaseScheduler:
    """Runs schedules of one case on connections of a scratch database.

    *control* reads and resets; each of *connections* is one buyer's session.
    """

    def __init__(
        self,
        case: Case,
        allocator: type[Allocator],
        control: AsyncConnection[Any],
        connections: Sequence[SteppedConnection],
        footprints: Footprints,
    ) -> None:
        self.case = case
        self._allocator = allocator
        self._control = control
        self._changed = asyncio.Event()
        names = statement_names(case.schema)
        self._sessions = [
            Session(
                place,
                "".join(self._buyers(place)),
                connection,
                footprints,
                names=names,
                changed=self._changed,
                hold_commits=case.hold_commits,
            )
            for place, connection in enumerate(connections)
        ]
        places = {session.pid: session.index for session in self._sessions}
        self._watch = LockWatch(control, self._sessions, self._changed, places.get)
        self._reset = _reset_script(control, case)
        self._vacuum = load("explore", case.schema)[f"vacuum_{case.schema}"]
        self._ledger = ledger_statement(case.schema)
        self._verdicts: dict[object, EventVerdict] = {}
        self._steps: list[Step] = []
        self._waits: Waits = {}
        self._runs = 0

    async def run(self, strategy: Strategy, *, snapshots: bool = False) -> ScheduleRun | None:
        """Run one schedule as *strategy* chooses; return None when it ends early.

        *snapshots*: read the ledger after every step. Raise `CouldNotTell` when the same
        schedule keeps going another way.
        """
        complete, answers = await repeated(
            strategy, lambda: self._run_once(strategy, snapshots=snapshots), self.case
        )
        represents = strategy.learn(self._steps)
        if not complete:
            return None
        ledger = await self._read_ledger()
        return ScheduleRun(
            names=tuple(session.name for session in self._sessions),
            steps=tuple(self._steps),
            answers=answers,
            ledger=ledger,
            verdict=self._judge(ledger, answers),
            quantity=self.case.quantity,
            represents=represents,
        )

    async def _run_once(
        self, strategy: Strategy, *, snapshots: bool
    ) -> tuple[bool, tuple[Answer, ...]]:
        """Take the steps of one schedule; return whether it reached its end, and the answers."""
        if self._runs % _RUNS_PER_VACUUM == 0:
            await self._vacuum.execute(self._control)
        self._runs += 1
        await self._control.execute(self._reset)
        self._steps, self._waits = [], {}
        # An allocator uses no more of a pool than a session has.
        sellers = [self._allocator(cast(Pool, s), self.case.schema) for s in self._sessions]
        for session in self._sessions:
            session.start_schedule()
        tasks = [
            asyncio.ensure_future(self._buy(seller, buyer))
            for place, seller in enumerate(sellers)
            for buyer in self._buyers(place)
        ]
        for task in tasks:
            task.add_done_callback(lambda _: self._changed.set())
        try:
            complete = await self._take_steps(strategy, tasks, snapshots=snapshots)
        except CouldNotTell:
            for task in tasks:
                task.cancel()
            raise
        finally:  # whatever happened, nothing of it runs on into the next schedule
            for session in self._sessions:
                session.end_schedule()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return complete, tuple(answer for answer in answers if isinstance(answer, Answer))

    async def _take_steps(
        self, strategy: Strategy, tasks: Sequence["asyncio.Task[Answer]"], *, snapshots: bool
    ) -> bool:
        await self._settle(tasks)
        while ready := [s.index for s in self._sessions if s.requested]:
            chosen = strategy.choose(self._steps, ready)
            if chosen is None:
                return False
            if chosen not in ready:
                raise LockOrderChanged
            self._steps.append(self._sessions[chosen].grant())
            await self._settle(tasks)
            if snapshots:
                after = check_event(await self._read_ledger(), explained=False)
                self._steps[-1] = replace(self._steps[-1], after=after)
        return True

    async def _settle(self, tasks: Sequence["asyncio.Task[Answer]"]) -> None:
        """Wait until the last step has had its effect, and record it in the steps it concerns."""
        each = self.case.together
        waiting, released = set(self._waits), set[int]()
        since: dict[int, float] = {}
        while True:
            moving = [
                session
                for place, session in enumerate(self._sessions)
                if not session.requested
                and not all(task.done() for task in tasks[place * each : (place + 1) * each])
            ]
            released |= waiting.difference(session.index for session in moving)
            waiting -= released
            self._waits = (
                await self._watch.waits(self._steps, moving, waiting, since) if moving else {}
            )
            if self._waits or not moving:
                break
        if not self._steps:
            return
        last = len(self._steps) - 1
        latest = {step.session: place for place, step in enumerate(self._steps)}
        published = NOTHING
        for session in {self._steps[last].session, *self._waits, *released}:
            step, result = self._steps[latest[session]], self._sessions[session].latest
            if result is None:
                continue
            goes_on = session in released
            # What a blocked step makes visible in the end, it does when it is released.
            published |= result.effect.publishes if goes_on else NOTHING
            self._steps[latest[session]] = replace(
                result,
                effect=step.effect if goes_on else result.effect,
                waited_for=self._waits.get(session, step.waited_for),
                released_by=last if goes_on else step.released_by,
                after=step.after,
            )
        effect = self._steps[last].effect
        self._steps[last] = replace(
            self._steps[last], effect=replace(effect, publishes=effect.publishes | published)
        )

    def _buyers(self, place: int) -> list[str]:
        each = self.case.together
        return [chr(ord("A") + each * place + number) for number in range(each)]

    async def _buy(self, seller: Allocator, buyer: str) -> Answer:
        # Not validated: how the allocator and the database treat nonsense is explored too.
        key = "same key" if self.case.same_key else None
        purchase = Purchase(buyer, EVENT, self.case.quantity, key)
        try:
            tickets = await sell(seller, purchase)
        except TicketsvcError as problem:
            sqlstate = getattr(problem.__cause__, "sqlstate", None)
            return Answer(buyer, code=problem.code, sqlstate=sqlstate)
        return Answer(buyer, tickets.first, tickets.last)

    async def _read_ledger(self) -> EventLedger:
        cursor = await self._ledger.execute(self._control, events=[EVENT])
        return ledger_from(EVENT, await cursor.fetchall())

    def _judge(self, ledger: EventLedger, answers: tuple[Answer, ...]) -> EventVerdict:
        history = self._history(answers)
        overlapping = tuple(
            one.sent_s < other.answered_s and other.sent_s < one.answered_s
            for one, other in combinations(history, 2)
        )
        # Everything a verdict depends on: most schedules end as another one did.
        key = (
            ledger.available,
            ledger.next_ticket_number,
            tuple(ledger.issues),
            answers,
            overlapping,
        )
        if key not in self._verdicts:
            self._verdicts[key] = check_event(ledger, history)
        return self._verdicts[key]

    def _history(self, answers: Sequence[Answer]) -> list[Attempt]:
        """Return each purchase as a client would record it; times are positions of steps."""
        each = self.case.together
        history = []
        for place, answer in enumerate(answers):
            steps = [n for n, step in enumerate(self._steps) if step.session == place // each]
            history.append(
                Attempt(
                    purchase=answer.buyer,
                    url="",
                    user=answer.buyer,
                    event=EVENT,
                    quantity=self.case.quantity,
                    sent_s=float(min(steps, default=0)),
                    answered_s=float(max(steps, default=0) + 0.5),
                    outcome=_outcome(answer),
                    tickets=tuple(range(answer.first, answer.last + 1)) if answer.sold else (),
                )
            )
        return history


def _outcome(answer: Answer) -> Outcome:
    if answer.sold:
        return "ok"
    return "unknown" if answer.code == OutcomeUnknown.code else "refused"


def _reset_script(control: AsyncConnection[Any], case: Case) -> bytes:
    """Return the statements that reset the event as one text: one round trip, one transaction."""
    cursor = AsyncClientCursor(control)
    values = {"event": EVENT, "total": case.total, "sold": 0}
    steps = [cursor.mogrify(step.query, values) for step in reset_steps(case.schema)]
    return ";".join(["BEGIN", *steps, "COMMIT"]).encode()


def statement_names(schema: SchemaName) -> dict[bytes, str]:
    """Return the name of each statement in `sql/statements`, by its text for *schema*."""
    files = sorted((SQL_FOLDER / "statements").glob("*.sql"), reverse=True)
    return {
        statement.query: name
        for file in files
        for name, statement in load(file.stem, schema).items()
    }
