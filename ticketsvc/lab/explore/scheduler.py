"""Play schedules: real allocators on real sessions, one step at a time.

The stage grants one step, then waits until every session has either asked for its next step,
ended, or is seen by the server to wait for another's lock. Nothing sleeps to make an overlap.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import combinations
from typing import Any, cast

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import namedtuple_row, tuple_row

from ticketsvc.allocators import Allocator
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName, reset_steps
from ticketsvc.database.statements import SQL_FOLDER, load
from ticketsvc.errors import OutcomeUnknown, TicketsvcError
from ticketsvc.lab.checker.check import EventVerdict, check_event
from ticketsvc.lab.explore.cases import EVENT, Case, NotRepeatable
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.lock_watch import DEADLOCK_TIMEOUT_MS, Overtaken, Watch
from ticketsvc.lab.explore.schedules import Answer, Event, Run
from ticketsvc.lab.explore.sessions import Session, SteppedConnection, SteppedCursor
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.ledger.reader import ledger_from, ledger_statement
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt, Outcome
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import sell

_STUCK_S = 60  # an allocator that never asks again hangs: say so, some time
# Every reset leaves dead rows behind, which every later statement would have to pass.
_VACUUM_EVERY = 20
_TRIES = 50
_OPTIONS = (
    f"-c synchronous_commit=off -c deadlock_timeout={DEADLOCK_TIMEOUT_MS} "
    "-c enable_seqscan=off -c application_name=ticketsvc-explore"
)


class Stage:
    """Sessions on a scratch database, ready to play schedules of one case."""

    def __init__(
        self,
        case: Case,
        allocator: type[Allocator],
        control: AsyncConnection[Any],
        sessions: Sequence[Session],
    ) -> None:
        self.case = case
        self._allocator = allocator
        self._control = control
        self._sessions = sessions
        self._watch = Watch(control, sessions)
        self._reset = _reset_script(control, case)
        tables = ["ticket_pools", "issued_tickets"]
        tables += ["ticket_allocations"] if case.schema == "fixed" else []
        self._vacuum = "VACUUM " + ", ".join(f"{case.schema}.{table}" for table in tables)
        self._ledger = ledger_statement(case.schema)
        self._verdicts: dict[object, EventVerdict] = {}
        self._events: list[Event] = []
        self._played = 0
        self.overtaken = 0
        """How many runs were played again because the server changed their order."""

        for session in sessions:
            session.hold_commits = case.hold_commits

    async def play(self, strategy: Strategy, *, tell: bool = False) -> Run | None:
        """Play one schedule as *strategy* chooses; None when it calls the run redundant.

        *tell*: read the ledger after every step. Raise `NotRepeatable` when a schedule cannot
        be brought to go the same way twice.
        """
        for _ in range(_TRIES):
            if self._played % _VACUUM_EVERY == _VACUUM_EVERY - 1:
                await self._control.execute(self._vacuum)
            self._played += 1
            strategy.begin()
            with contextlib.suppress(Overtaken):
                complete, answers = await self._perform(strategy, tell=tell)
                break
            self.overtaken += 1
        else:
            raise NotRepeatable(f"{self.case}: the same steps went another way, {_TRIES} times")
        stands_for = strategy.learn(self._events)
        if not complete or not stands_for:
            return None
        ledger = await self._read_ledger()
        return Run(
            sessions=len(self._sessions),
            events=tuple(self._events),
            answers=answers,
            ledger=ledger,
            verdict=self._judge(ledger, answers),
            quantity=self.case.quantity,
            stands_for=stands_for,
        )

    async def _perform(self, strategy: Strategy, *, tell: bool) -> tuple[bool, tuple[Answer, ...]]:
        """Take the steps of one schedule; whether it came to its end, and what buyers were told."""
        await self._control.execute(self._reset)
        self._events = []
        each = self.case.together
        # To an allocator a session is all of a pool that it uses.
        sellers = [self._allocator(cast(Pool, s), self.case.schema) for s in self._sessions]
        for session in self._sessions:
            session.free = False
        tasks = [
            asyncio.ensure_future(self._buy(seller, chr(ord("A") + each * place + number)))
            for place, seller in enumerate(sellers)
            for number in range(each)
        ]
        for task in tasks:
            task.add_done_callback(self._watch.wake)
        async with asyncio.timeout(_STUCK_S):
            try:
                complete = await self._take_steps(strategy, tasks, tell=tell)
            finally:  # whatever happened: nothing of it runs on into the next schedule
                for session in self._sessions:
                    session.let_run()
                answers = await asyncio.gather(*tasks)
        return complete, tuple(answers)

    async def _take_steps(
        self, strategy: Strategy, tasks: Sequence["asyncio.Task[Answer]"], *, tell: bool
    ) -> bool:
        each = self.case.together

        def ended(place: int) -> bool:
            return all(task.done() for task in tasks[place * each : (place + 1) * each])

        await self._watch.settle(self._events, ended)
        while ready := [s.place for s in self._sessions if s.asks]:
            chosen = strategy.choose(self._events, ready)
            if chosen is None:
                return False
            if chosen not in ready:
                raise Overtaken
            self._events.append(self._sessions[chosen].grant())
            await self._watch.settle(self._events, ended)
            if tell:
                ledger = await self._read_ledger()
                self._events[-1].tells = _in_words(ledger)
                self._events[-1].torn = not check_event(ledger).clean
        return True

    async def _buy(self, seller: Allocator, buyer: str) -> Answer:
        # Not validated: what the allocator and the database do with nonsense is explored too.
        key = "asked again" if self.case.same_key else None
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
        beside = tuple(
            one.sent_s < other.answered_s and other.sent_s < one.answered_s
            for one, other in combinations(history, 2)
        )
        # All that a verdict can depend on: most schedules repeat what another one left.
        key = (ledger.available, ledger.next_ticket_number, tuple(ledger.issues), answers, beside)
        if key not in self._verdicts:
            self._verdicts[key] = check_event(ledger, history)
        return self._verdicts[key]

    def _history(self, answers: Sequence[Answer]) -> list[Attempt]:
        """Tell of each purchase as a client would; times are positions of steps."""
        each = self.case.together
        history = []
        for place, answer in enumerate(answers):
            steps = [n for n, event in enumerate(self._events) if event.session == place // each]
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
    """Return all statements that reset the event as one text: one round trip, one transaction."""
    cursor = AsyncClientCursor(control)
    values = {"event": EVENT, "total": case.total, "sold": 0}
    steps = [cursor.mogrify(step.query, values) for step in reset_steps(case.schema)]
    return ";".join(["BEGIN", *steps, "COMMIT"]).encode()


def _in_words(ledger: EventLedger) -> str:
    issued = sum(issue.last - issue.first + 1 for issue in ledger.issues)
    return f"available {ledger.available}, issued {issued}"


@contextlib.asynccontextmanager
async def open_stage(url: str, case: Case, allocator: type[Allocator]) -> AsyncIterator[Stage]:
    """Open the sessions of *case* on the scratch database *url*; no two stages may share one."""
    async with contextlib.AsyncExitStack() as stack:
        control = await stack.enter_async_context(
            await AsyncConnection.connect(
                url, autocommit=True, options=_OPTIONS, row_factory=tuple_row
            )
        )
        footprints, names = Footprints(control), statement_names(case.schema)
        sessions = []
        for place in range(case.buyers):
            connection = await stack.enter_async_context(
                await SteppedConnection.connect(
                    url,
                    autocommit=True,
                    options=_OPTIONS,
                    row_factory=namedtuple_row,
                    cursor_factory=SteppedCursor,
                    prepare_threshold=0,
                )
            )
            session = Session(place, footprints, names)
            session.connection, connection.session = connection, session
            sessions.append(session)
        yield Stage(case, allocator, control, sessions)


def statement_names(schema: SchemaName) -> dict[bytes, str]:
    """Return the name of each statement in `sql/statements`, by its text for *schema*."""
    files = sorted((SQL_FOLDER / "statements").glob("*.sql"), reverse=True)
    return {
        statement.query: name
        for file in files
        for name, statement in load(file.stem, schema).items()
    }
