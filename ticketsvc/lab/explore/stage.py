"""Play schedules: real allocators on real sessions, one step at a time.

The stage grants one step, then waits until every session has either asked for its next step,
ended, or is seen by the server to wait for another's lock. Nothing sleeps to make an overlap.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import namedtuple_row, tuple_row

from ticketsvc.allocators import Allocator
from ticketsvc.allocators.selling import sell
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName, reset_steps
from ticketsvc.database.statements import SQL_FOLDER, load
from ticketsvc.errors import OutcomeUnknown, TicketsvcError
from ticketsvc.lab.checks import EventVerdict, check_event
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.runs import Answer, Event, Run
from ticketsvc.lab.explore.sessions import Session, SteppedConnection, SteppedCursor
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.history import Attempt, Outcome
from ticketsvc.lab.ledger import ledger_of
from ticketsvc.lab.records import EventLedger
from ticketsvc.purchases import Purchase

EVENT = "E"
_STUCK_S = 60  # an allocator that never asks again hangs: say so, some time
_ASK_AFTER_S = 0.0004
_DEADLOCK_TIMEOUT_MS = 1
# Who waits and holds locks may close a cycle later. By then its own look for deadlocks is over,
# so that the server always picks the one that closes it.
_LOOK_IS_OVER_S = 0.003
_VACUUM_EVERY = 300
_TRIES = 50
_OPTIONS = (
    f"-c synchronous_commit=off -c deadlock_timeout={_DEADLOCK_TIMEOUT_MS} "
    "-c enable_seqscan=off -c application_name=ticketsvc-explore"
)
_BLOCKERS = "SELECT pid, pg_blocking_pids(pid) FROM unnest(%s::int[]) AS pid"


class NotRepeatable(TicketsvcError):
    """The same schedule does not go the same way twice: nothing can be said of it."""

    code = "not_repeatable"


class _Overtaken(Exception):
    """The server let a later one go first: this run does not count."""


@dataclass(frozen=True)
class Case:
    """What is explored: so many purchases of *quantity*, of an event of *total* tickets.

    Each buyer is a session of its own, as if each came to another server process; with
    *together*, so many purchases arrive at each of them. *hold_commits*: a statement that
    commits by itself is two steps, its execution and its commit, as it is inside the server.
    """

    allocator: str
    schema: SchemaName
    buyers: int = 2
    total: int = 8
    quantity: int = 8
    together: int = 1
    hold_commits: bool = False


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
        self._by_pid = {s.connection.info.backend_pid: s for s in sessions}
        self._pids = {s.place: s.connection.info.backend_pid for s in sessions}
        self._reset = _reset_script(control, case)
        self._ledger = load("exploring", case.schema)[f"ledger_{case.schema}"]
        self._verdicts: dict[object, EventVerdict] = {}
        self._events: list[Event] = []
        self._changed: asyncio.Future[None] | None = None
        self._played = 0
        self.overtaken = 0
        """How many runs were played again because the server changed their order."""

        for session in sessions:
            session.changed = self._wake
            session.hold_commits = case.hold_commits

    async def play(self, strategy: Strategy, *, tell: bool = False) -> Run | None:
        """Play one schedule as *strategy* chooses; None when it calls the run redundant.

        *tell*: read the ledger after every step. Raise `NotRepeatable` when a schedule cannot
        be brought to go the same way twice.
        """
        for _ in range(_TRIES):
            if self._played % _VACUUM_EVERY == _VACUUM_EVERY - 1:
                await self._control.execute("VACUUM")
            self._played += 1
            strategy.begin()
            with contextlib.suppress(_Overtaken):
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
            task.add_done_callback(self._wake)
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
        await self._settle(tasks)
        while ready := [s.place for s in self._sessions if s.asks]:
            chosen = strategy.choose(self._events, ready)
            if chosen is None:
                return False
            if chosen not in ready:
                raise _Overtaken
            self._events.append(self._sessions[chosen].grant())
            await self._settle(tasks)
            if tell:
                ledger = await self._read_ledger()
                self._events[-1].tells = _in_words(ledger)
                self._events[-1].torn = not check_event(ledger).clean
        return True

    async def _settle(self, tasks: Sequence["asyncio.Task[Answer]"]) -> None:
        """Wait until everybody asks, has ended, or is blocked by somebody who does."""
        waiting = {s.place for s in self._sessions if s.takes and s.takes.waited_for}
        seen_since: dict[int, float] = {}
        while True:
            moving = self._moving(tasks)
            for place in waiting - {s.place for s in moving}:
                self._release(place)
            waiting &= {s.place for s in moving}
            if not moving:
                return
            if any(s.place not in waiting for s in moving) and await self._change(_ASK_AFTER_S):
                continue
            if await self._all_blocked(moving, seen_since):
                return
            await self._change(_ASK_AFTER_S)

    def _moving(self, tasks: Sequence["asyncio.Task[Answer]"]) -> list[Session]:
        each = self.case.together
        return [
            s
            for s in self._sessions
            if not s.asks
            and not all(task.done() for task in tasks[s.place * each : (s.place + 1) * each])
        ]

    def _release(self, place: int) -> None:
        step = next(e for e in reversed(self._events) if e.session == place)
        step.released_by = len(self._events) - 1

    async def _all_blocked(self, moving: Sequence[Session], seen_since: dict[int, float]) -> bool:
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
            if fresh and session.holds_locks and now - since < _LOOK_IS_OVER_S:
                return False
        self._refuse_overtaking(blocked)
        for session in moving:
            if session.takes:
                session.takes.waited_for = blocked[session.place]
        return True

    def _refuse_overtaking(self, blocked: dict[int, tuple[int, ...]]) -> None:
        """Raise `_Overtaken` when somebody waits for one who came to the same lock later.

        Of several that wait for a row, the server does not always let the first go first. A
        schedule in which it did not is played again: the other order is a schedule of its own,
        in which they come the other way round.
        """
        steps = {event.session: n for n, event in enumerate(self._events)}
        for place, by in blocked.items():
            for other in by:
                passed = self._events[steps[other]]
                if passed.waited_for and other not in blocked and steps[other] > steps[place]:
                    raise _Overtaken

    def _wake(self, _: object = None) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(None)

    async def _change(self, patience_s: float) -> bool:
        """Wait until a session asks or ends; False when none did in time."""
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        timer = loop.call_later(patience_s, self._changed.cancel)
        try:
            await self._changed
        except asyncio.CancelledError:
            if not self._changed.cancelled():
                raise
            return False
        finally:
            timer.cancel()
        return True

    async def _buy(self, seller: Allocator, buyer: str) -> Answer:
        # Not validated: what the allocator and the database do with nonsense is explored too.
        purchase = Purchase.model_construct(
            user_id=buyer, event_id=EVENT, quantity=self.case.quantity
        )
        try:
            tickets = await sell(seller, purchase)
        except TicketsvcError as problem:
            sqlstate = getattr(problem.__cause__, "sqlstate", None)
            return Answer(buyer, code=problem.code, sqlstate=sqlstate)
        return Answer(buyer, tickets.first, tickets.last)

    async def _read_ledger(self) -> EventLedger:
        cursor = await self._ledger.execute(self._control, event=EVENT)
        return ledger_of(EVENT, await cursor.fetchall())

    def _judge(self, ledger: EventLedger, answers: Sequence[Answer]) -> EventVerdict:
        key = (ledger.available, tuple(ledger.issues), tuple(answers))
        if key not in self._verdicts:
            self._verdicts[key] = check_event(ledger, self._history(answers))
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
    """Give all statements that reset the event as one text: one round trip, one transaction."""
    cursor = AsyncClientCursor(control)
    values = {"event": EVENT, "total": case.total, "sold": 0}
    steps = [cursor.mogrify(step.query, values) for step in reset_steps(case.schema)]
    return ";".join(["BEGIN", *steps, "COMMIT"]).encode()


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
    """Give the name of each statement in `sql/statements`, by its text for *schema*."""
    files = sorted((SQL_FOLDER / "statements").glob("*.sql"), reverse=True)
    return {
        statement.query: name
        for file in files
        for name, statement in load(file.stem, schema).items()
    }
