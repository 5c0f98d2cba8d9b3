"""Where each client of a schedule stands: it runs, asks for a turn, is at the server, or ended.

The proxies ask here before a statement goes to the server, and before its answer goes back. So at
any time at most one client's own code runs, and the next statement is that client's.

Over 300 lines, because the scheduler and the proxies change the same few states.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ticketsvc.lab.explore.effects import ANYTHING, NOTHING, UNKNOWN, Effect, Footprint
from ticketsvc.lab.explore.lock_watch import CouldNotTell
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.turns import Phase, Transaction, Turn, Turns
from ticketsvc.lab.explore.wire_footprints import WireFootprints
from ticketsvc.lab.wire.gate import FAILED, IDLE, Gate, Unit
from ticketsvc.lab.wire.session import Session
from ticketsvc.lab.wire.statements import shortened


@dataclass
class Note:
    """What is known of a step beside the step itself: for the search for causes.

    *alone*: it commits by itself. *ends*: it ends its session's transaction. *keeps_snapshot*: what
    comes later in its transaction sees what the first statement did.
    """

    session: Session
    values: tuple[str | None, ...] = ()
    footprint: Footprint = field(default_factory=Footprint)
    alone: bool = False
    ends: bool = False
    keeps_snapshot: bool = False


class ClientTurn(Turn):
    """One client: where it stands, what is known beside its step, and the connection of that."""

    session: Session | None = None
    note: Note | None = None
    since: float = 0.0
    """When its own code began to run, by the loop's clock."""
    sending: bool = False
    """Whether a statement of its own has come, and is being looked at."""


@dataclass
class _Block(Transaction):
    """What a connection's open transaction has done so far, and for whom."""

    owner: ClientTurn | None = None

    def forget(self) -> None:
        super().forget()
        self.owner = None


class WireTurns(Turns[ClientTurn], Gate):
    """The clients of one exploration, and the gate that their statements pass."""

    def __init__(
        self,
        names: list[str],
        footprints: WireFootprints,
        *,
        database: str,
        hold_commits: bool,
        one_transaction: bool = False,
        rewrite: Callable[[str], str] = str,
        searches_soon: bool,
    ) -> None:
        super().__init__(searches_soon=searches_soon)
        self.clients = [ClientTurn(self, index, name) for index, name in enumerate(names)]
        self.footprints = footprints
        self._database = database
        self._hold_commits = hold_commits
        self._one_transaction = one_transaction
        self.blocks: dict[Session, _Block] = {}
        """What the open transaction of each connection has done."""
        self._levels: dict[Session, tuple[str, str]] = {}  # isolation, and search path if set
        self._holding: set[Session] = set()  # they may hold locks that outlive a transaction
        self._rewrite = rewrite
        self._over = False
        self._freed = asyncio.Event()
        self.notes: list[Note] = []
        """What is known beside each step of this run."""

    # What the scheduler does

    def begin(self) -> None:
        """Hold statements from now on."""
        super().begin()
        self._over, self.notes = False, []
        for client in self.clients:
            client.session, client.sending, client.transaction = None, False, Transaction()

    async def rest(self, timeout_s: float) -> None:
        """Note that every client has ended; raise `CouldNotTell` if one left a transaction open."""
        self._over = True
        blocks = self.blocks.values()
        if not await self._until(lambda: not any(b.touched for b in blocks), timeout_s):
            names = ", ".join(b.owner.name for b in blocks if b.touched and b.owner)
            self._fail(f"{names} has ended, and has left a transaction open")
        if self.problem:
            raise self.problem

    async def leave(self, client: ClientTurn, timeout_s: float) -> None:
        """Wait until *client*, which has its answer, has ended its transaction: it may do that
        only now, or the server does as the connection closes."""

        def left() -> bool:
            holds = any(session.owner == client.index for session in self._holding)
            return not (holds or any(b.begun and b.owner is client for b in self.blocks.values()))

        await self._until(left, timeout_s)

    async def commit(self, client: ClientTurn, timeout_s: float) -> str:
        """End the transaction that was begun for *client*, which has its answer, and wait for that.

        Return the SQLSTATE where the commit failed.
        """
        for session, block in list(self.blocks.items()):
            if block.owner is client and session.owner is None:
                await session.end_wrapped()
        await self.leave(client, timeout_s)
        await self._until(lambda: client.phase is Phase.RUNS, timeout_s)
        step = client.step
        return (step.error or "") if step and step.text == "COMMIT" else ""

    async def _until(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not reached():
                    self._freed.clear()
                    await self._freed.wait()
        return reached()

    def go(self, client: ClientTurn) -> None:
        """Let *client*'s step go to the server, or its answer back to it."""
        if client.phase is Phase.ASKS and client.note:
            self.notes.append(client.note)
        super().go(client)

    def runs(self, client: ClientTurn) -> None:
        """Take note that *client*'s own code runs."""
        super().runs(client)
        client.since = asyncio.get_running_loop().time()
        self._freed.set()

    def ended(self, client: ClientTurn, *, gave_up: bool = False, unanswered: str = "") -> None:
        """Take note that *client* has ended.

        *gave_up*: without success, after a long wait. *unanswered*: why it got no answer.
        """
        if self.active and unanswered:
            self._fail(f"{client.name} got no answer: {unanswered}")
        if self.active and gave_up and client.phase is Phase.RUNS:
            self._fail(
                f"{client.name} failed after it had waited for something that PostgreSQL does not "
                "know of: a time limit decided"
            )
        if self.active and (client.sending or client.phase is not Phase.RUNS):
            self._fail(f"{client.name} ended while a statement of its own was still on its way")
        super().ended(client)

    def index_of(self, pid: int) -> int | None:
        """Return whose transaction runs in the server process *pid*; None: nobody's here."""
        owners = (self._owner(session) for session in self.blocks if session.pid == pid)
        owner = next(owners, None)
        return owner.index if owner else None

    def _owner(self, session: Session) -> ClientTurn | None:
        """Return the client that alone uses *session*, or else that of its open transaction."""
        if session.owner is not None:
            return self.clients[session.owner]
        return self.blocks[session].owner if session in self.blocks else None

    # What a gate does

    def opened(self, session: Session) -> None:
        """Take note of a connection."""
        self.blocks[session] = _Block()
        self.changed.set()

    def rewrite(self, text: str) -> str:
        """Return what goes to the server instead of *text*, a client's SQL."""
        return self._rewrite(text)

    async def release(self, unit: Unit) -> bool:
        """Return when *unit* may go to the server; true: its commit is a step of its own."""
        session = unit.session
        if not self.active or unit.state == FAILED:
            if self._over:
                self._fail(f"a statement came after every client had ended: {shortened(unit.text)}")
            return False  # what comes after an error in a transaction does nothing
        block = self.blocks.setdefault(session, _Block())
        owner = self._owner(session) or self._running()
        if owner is None or owner.phase is not Phase.RUNS or owner.sending:
            self._fail(f"a statement cannot be attributed: {_why(owner)}: {shortened(unit.text)}")
            return False
        if session.database != self._database:
            self._fail(
                f"{owner.name} is connected to the database {session.database}, not to that of "
                f"{{database_url}}: {shortened(unit.text)}"
            )
            return False
        if self._one_transaction and (why := self._why_not_one(owner, session, unit)):
            self._fail(f"{owner.name} cannot be made one transaction from outside: {why}")
            return False
        owner.session, owner.pid, owner.transaction = session, session.pid, block
        block.owner, owner.sending = owner, True
        block.level, path = await self._settings_of(session)
        kinds = unit.kinds
        if kinds <= {"end", "back"}:
            step = Step(owner.index, unit.name, unit.text, self._end_effect(block))
            await self._ask(owner, step, Note(session, unit.bound.values, ends=kinds == {"end"}))
            return False
        mixed = not kinds.isdisjoint({"begin", "end", "back"})
        footprint = UNKNOWN if mixed else await self.footprints.of(unit.texts, path)
        if ANYTHING in footprint.writes:
            self._holding.add(session)
        session.wrapped |= self._one_transaction
        split = session.wrapped or (self._hold_commits and bool(footprint.changes))
        split = split and unit.splittable
        alone = unit.state == IDLE and not split and "begin" not in kinds
        if alone and unit.in_pieces and footprint.changes:
            self._fail(
                f"{owner.name} reads an answer in pieces that changes data: {shortened(unit.text)}"
            )
        touched = self.footprints.locks_of(footprint)
        effect = block.add(touched, alone=alone, mixed=mixed)
        if not alone:
            block.locked |= touched.writes
        step = Step(owner.index, unit.name, unit.text, effect)
        keeps = not alone and block.keeps_snapshot
        note = Note(session, unit.bound.values, footprint, alone=alone, keeps_snapshot=keeps)
        await self._ask(owner, step, note)
        return split

    def _why_not_one(self, owner: ClientTurn, session: Session, unit: Unit) -> str:
        """Say why *unit* cannot be part of the one transaction of *owner*; "" where it can."""
        elsewhere = owner.session is not session and owner.session and owner.session.wrapped
        if elsewhere or (session.wrapped and self._running() not in (owner, None)):
            return "its statements do not come on one connection that is its own"
        ours = not unit.messages or (session.wrapped and unit.kinds.isdisjoint({"end", "back"}))
        return (
            ""
            if ours or unit.splittable
            else f"it has transactions of its own: {shortened(unit.text)}"
        )

    async def release_commit(self, unit: Unit) -> None:
        """Return when the commit of a split *unit* may go."""
        block = self.blocks.get(unit.session)
        if not self.active or block is None or block.owner is None:
            return
        owner = block.owner
        self._record(owner, unit)
        step = Step(owner.index, "COMMIT", "COMMIT", self._end_effect(block), rows=-1)
        await self._ask(owner, step, Note(unit.session, ends=True))

    async def release_answer(self, unit: Unit, state: bytes) -> None:
        """Return when the client may have the answer to *unit*."""
        session = unit.session
        block = self.blocks.get(session)
        owner = block.owner if block else None
        if owner is not None and owner.phase is Phase.AT_SERVER:
            if owner.step is not None and owner.step.name != "COMMIT":
                self._record(owner, unit)
            if unit.answer.sqlstate is not None:
                self.failed(owner, unit.answer.sqlstate)
                self._require_no_timer(owner, unit)
        if block and state == IDLE:
            block.forget()
            self._freed.set()
            if session.settings_may_differ:  # they were set in the transaction that ends here
                self._levels.pop(session, None)
                session.settings_may_differ = False
        elif block and not unit.kinds.isdisjoint({"begin", "end"}):  # another one has begun
            block.forget()
            block.owner = owner
            block.touched = block.locked = frozenset({ANYTHING}) if len(unit.kinds) > 1 else NOTHING
        if self.active and owner is not None and owner.phase is Phase.AT_SERVER:
            await self.hold(owner, Phase.ANSWERED)

    def closed(self, session: Session) -> None:
        """Forget a connection that has gone; what its transaction held is free now."""
        owner = self._owner(session)
        block = self.blocks.pop(session, None)
        self._levels.pop(session, None)
        if self.active and block and owner and owner.place is not None:
            if owner.session is session and owner.phase in (Phase.ASKS, Phase.AT_SERVER):
                self._fail(f"{owner.name} lost its connection in the middle of a statement")
            held = frozenset({ANYTHING}) if session in self._holding else block.touched
            self.publish(owner.place, held)
        if block:
            block.forget()
        self._holding.discard(session)
        self._freed.set()
        self.changed.set()

    async def _settings_of(self, session: Session) -> tuple[str, str]:
        """Return the isolation level of the session's transaction, and its search path if it sets
        one; asked again when they may differ.

        What holds for one transaction alone is forgotten with the transaction.
        """
        if session.settings_may_differ or session not in self._levels:
            names = ["transaction_isolation", *["search_path"] * session.sets_path]
            answers = [(await session.ask(f"SHOW {name}")).first_row or ("",) for name in names]
            self._levels[session] = answers[0][0] or "", (answers[-1][0] or "") * len(names[1:])
        return self._levels[session]

    def _require_no_timer(self, owner: ClientTurn, unit: Unit) -> None:
        """Refuse to go on where a time limit has decided, or commits came where none is held."""
        sqlstate, message = unit.answer.sqlstate, unit.answer.message
        step = owner.step
        waited = step is not None and step.waited_for
        if sqlstate == "57014" or (sqlstate == "55P03" and (waited or "timeout" in message)):
            self._fail(f"a time limit decided, not the schedule: {owner.name}: {message}")
        if sqlstate == "2D000" and unit.splittable:
            self._fail(
                f"{owner.name} calls a procedure that commits inside: what others do in between "
                "cannot be held"
            )

    async def _ask(self, owner: ClientTurn, step: Step, note: Note) -> None:
        owner.sending, owner.note = False, note
        await self.ask(owner, step)

    def _record(self, owner: ClientTurn, unit: Unit) -> None:
        """Note what the server answered to *owner*'s step."""
        answer = unit.answer
        read = None
        if answer.first_row is not None:
            read = dict(zip(answer.columns, answer.first_row, strict=False))
        self.update(owner, rows=answer.rows, read=read)

    def _end_effect(self, block: _Block) -> Effect:
        effect = block.end()
        if self.footprints.checks_late and ANYTHING in block.touched:
            return replace(effect, sees=effect.sees | block.touched, locks=block.touched)
        return effect

    def _running(self) -> ClientTurn | None:
        running = self.in_phase(Phase.RUNS)
        return running[0] if len(running) == 1 else None

    def _fail(self, reason: str) -> None:
        if self.problem is None:
            self.problem = CouldNotTell(reason)
        self.changed.set()


def _why(owner: ClientTurn | None) -> str:
    if owner is None:
        return "no client was to act (two statements at a time, work after the answer, a timer)"
    if owner.phase is Phase.ENDED:
        return f"{owner.name} works on after it has ended"
    return f"{owner.name} sends two statements at a time, or goes on after its answer"
