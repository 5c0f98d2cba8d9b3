"""Run the schedules of a case: real allocators on real sessions, one step at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, cast

from psycopg import AsyncClientCursor, AsyncConnection

from ticketsvc.allocators import Allocator
from ticketsvc.allocators.registry import naming_faults
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.seeding import reset_steps
from ticketsvc.database.statements import SQL_FOLDER, load
from ticketsvc.errors import OutcomeUnknown, TicketsvcError
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.explore.cases import EVENT, Case
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.scheduler import Scheduler
from ticketsvc.lab.explore.schedules import Answer, ScheduleRun
from ticketsvc.lab.explore.sessions import Session, SteppedConnection
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.explore.turns import Turns
from ticketsvc.lab.ledger.reader import ledger_from, ledger_statement
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt, Outcome
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import sell

_RUNS_PER_VACUUM = 20


class CaseScheduler(Scheduler[Session, list[Answer]]):
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
        turns = Turns[Session]()
        super().__init__(turns, control)
        self.case = case
        self._allocator = allocator
        self._control = control
        names = statement_names(case.schema)
        turns.clients = [
            Session(
                turns,
                place,
                "".join(self._buyers(place)),
                connection,
                footprints,
                names=names,
                hold_commits=case.hold_commits,
            )
            for place, connection in enumerate(connections)
        ]
        self._reset = _reset_script(control, case)
        self._vacuum = load("explore", case.schema)[f"vacuum_{case.schema}"]
        self._ledger = ledger_statement(case.schema)
        self._snapshots = False
        self._runs = 0

    async def run(self, strategy: Strategy, *, snapshots: bool = False) -> ScheduleRun | None:
        """Run one schedule, as `perform` does, and judge it.

        *snapshots*: read the ledger after every step.
        """
        self._snapshots = snapshots
        found = await self.perform(strategy)
        if found is None:
            return None
        answers = tuple(chain(*found))
        ledger = await self._read_ledger()
        return ScheduleRun(
            names=tuple(session.name for session in self.turns.clients),
            steps=tuple(self.turns.steps),
            answers=answers,
            ledger=ledger,
            verdict=check_event(ledger, self._history(answers)),
            quantity=self.case.quantity,
            represents=self.represents,
        )

    async def perform_once(self, strategy: Strategy) -> tuple[bool, list[list[Answer]]]:
        """Put the data back, and take the steps; return whether the schedule reached its end."""
        if self._runs % _RUNS_PER_VACUUM == 0:
            await self._vacuum.execute(self._control)
        self._runs += 1
        await self._control.execute(self._reset)
        return await super().perform_once(strategy)

    async def act(self, client: Session) -> list[Answer]:
        """Let the buyers of *client* buy; return what each is answered.

        Raise `UsageError` that names the allocator where it fails by an error of its own.
        """
        with naming_faults(self._allocator):
            # An allocator uses no more of a pool than a session has.
            seller = self._allocator(cast(Pool, client), self.case.schema)
            buyers = self._buyers(client.index)
            buys = [asyncio.create_task(self._buy(seller, buyer)) for buyer in buyers]
            await asyncio.gather(*buys, return_exceptions=True)
            return [buy.result() for buy in buys]

    async def after_step(self) -> None:
        """Judge the ledger, where snapshots are taken."""
        if self._snapshots:
            after = check_event(await self._read_ledger(), explained=False)
            self.turns.steps[-1] = replace(self.turns.steps[-1], after=after)

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

    def _history(self, answers: Sequence[Answer]) -> list[Attempt]:
        """Return each purchase as a client would record it; times are positions of steps."""
        each = self.case.together
        history = []
        for place, answer in enumerate(answers):
            steps = [n for n, step in enumerate(self.turns.steps) if step.session == place // each]
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
