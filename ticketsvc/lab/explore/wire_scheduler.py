"""Run schedules of a scenario's clients: each statement waits at the proxy for its turn.

One step is released; then the scheduler waits until every client asks for its next turn, has
ended, or is seen by the server to wait for another's lock. No timer decides anything: a client
that does none of these for long makes the exploration say that it could not tell.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import psycopg
from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.explore.causes import Act, Cause, cause_of
from ticketsvc.lab.explore.effects import NOTHING, overlap
from ticketsvc.lab.explore.lock_watch import LockOrderChanged, acyclic, require_lock_order
from ticketsvc.lab.explore.schedules import Step, is_serial, schedule_id
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.explore.turns import ClientTurn, CouldNotTell, Phase, Turns
from ticketsvc.lab.scenarios.clients import ClientResult, Runner
from ticketsvc.lab.scenarios.sandbox import Sandbox, ViolatedInvariant
from ticketsvc.lab.wire.session import Session

SETTLE_S = 20.0
"""How long a client may do nothing that could be seen, before that is called a wait elsewhere."""

_GIVES_UP_S = 1.5
"""A client that fails after having done nothing for so long has given up a wait elsewhere."""

_LEAVE_S = 1.0
"""How long a client that has ended may need to end its transaction."""


_STATEMENT_S = 60.0
_LOOK_SOON_S, _LOOK_LATE_S = 0.0005, 0.02
# A session that waits and holds locks looks for a deadlock itself first; by then it has looked.
_LOOK_IS_OVER_S = 0.003
_TRIES = 50
WRITES = re.compile(
    r"\b(insert\s+into|(?<!for )update\s|delete\s+from|merge\s+into)", re.IGNORECASE
)
_LOCKS_A_TABLE = re.compile(r"\s*lock\b", re.IGNORECASE)  # takes no snapshot
MAX_RETRIES = 10
CONFLICTS = ("40001", "40P01")
"""SQLSTATEs after which the same transaction may succeed: serialization failure, deadlock."""


@dataclass(frozen=True)
class Ways:
    """What is changed about how clients act, to see whether that is a fix.

    *retry*: a client whose statement failed by a conflict acts again. *advisory_lock*: each holds
    one lock while it acts. *lock_reads_of*: relations whose reads become `SELECT … FOR UPDATE`.
    *isolation*: the level of every session; None: the scenario's. *one_transaction*: what a client
    sends is one transaction, which is begun and committed for it.
    """

    isolation: str | None = None
    retry: bool = False
    advisory_lock: bool = False
    lock_reads_of: frozenset[str] = frozenset()
    one_transaction: bool = False


@dataclass(frozen=True)
class ScenarioRun:
    """One schedule of a scenario, executed: its steps, how clients ended, what is violated.

    *represents*: how many schedules differ from it only in the order of independent steps.
    """

    names: tuple[str, ...]
    steps: tuple[Step, ...] = field(repr=False)
    results: tuple[ClientResult, ...]
    violated: tuple[ViolatedInvariant, ...]
    acts: tuple[Act, ...] = field(default=(), repr=False)
    represents: int = 1

    @cached_property
    def causes(self) -> tuple[Cause | None, ...]:
        """The cause of each violation, where the evidence shows one."""
        return tuple(cause_of(self.acts, self.names, one.sql) for one in self.violated)

    @property
    def cause(self) -> Cause | None:
        """The first cause that is known."""
        return next(filter(None, self.causes), None)

    @property
    def choices(self) -> tuple[int, ...]:
        """The clients in the order of their steps."""
        return tuple(step.session for step in self.steps)

    @property
    def id(self) -> str:
        """The schedule's short name."""
        return schedule_id(self.choices, len(self.names))

    @property
    def serial(self) -> bool:
        """Whether each client ended before the next one began."""
        return is_serial(self.choices)

    @property
    def clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.violated

    @property
    def kind(self) -> str:
        """The first invariant that is violated, or clean."""
        return self.violated[0].name if self.violated else "clean"

    @property
    def refused(self) -> bool:
        """Whether a client did not succeed."""
        return any(result.ending != "success" for result in self.results)

    @property
    def blocked(self) -> bool:
        """Whether a step had to wait for another client's lock."""
        return any(step.waited_for for step in self.steps)

    @property
    def retries(self) -> int:
        """How many steps failed after which their client went on."""
        last = {step.session: place for place, step in enumerate(self.steps)}
        return sum(
            step.error is not None
            and any(
                later.session == step.session and later.name not in ("ROLLBACK",)
                for later in self.steps[place + 1 : last[step.session] + 1]
            )
            for place, step in enumerate(self.steps)
        )

    @property
    def outcome(self) -> tuple[object, ...]:
        """All that a schedule can differ in, as a key to compare."""
        return (
            tuple((result.ending, result.numbers) for result in self.results),
            tuple((one.name, one.rows) for one in self.violated),
            self.blocked,
            self.retries,
        )


_Found = tuple[tuple[int, str], ...]


class WireScheduler:
    """Runs the schedules of one scenario in its sandbox."""

    def __init__(self, sandbox: Sandbox, runner: Runner, turns: Turns, ways: Ways) -> None:
        self._sandbox = sandbox
        self._runner = runner
        self._turns = turns
        self._ways = ways
        self._seen: dict[tuple[int, ...], tuple[_Found, _Found]] = {}
        self._statements = load("scenarios")
        self.replayed = 0
        """How many runs were started again because the server changed the order of waiters."""

    async def run(self, strategy: Strategy) -> ScenarioRun | None:
        """Run one schedule as *strategy* chooses; None when it ends early.

        Raise `CouldNotTell` when the clients cannot be driven or seen.
        """
        for _ in range(_TRIES):
            strategy.begin()
            with contextlib.suppress(LockOrderChanged):
                complete, results = await self._perform(strategy)
                break
            self.replayed += 1
        else:
            raise CouldNotTell(f"the server took the same steps another way, {_TRIES} times")
        represents = strategy.learn(self._turns.steps)
        if not complete:
            return None
        return ScenarioRun(
            names=tuple(client.name for client in self._turns.clients),
            steps=tuple(self._turns.steps),
            results=results,
            violated=await self._judge(results),
            acts=tuple(self._acts()),
            represents=represents,
        )

    @property
    def assumed(self) -> tuple[bool, bool]:
        """What all effects of steps depend on: where it changes, a reduction starts again."""
        return self._turns.assumed

    async def end(self) -> None:
        """Raise `CouldNotTell` for what has come since the last schedule."""
        await self._turns.rest(SETTLE_S)

    def _acts(self) -> Iterator[Act]:
        notes = self._turns.notes
        snapshots: dict[Session, int] = {}  # where those of open transactions were taken
        for place, (step, note) in enumerate(zip(self._turns.steps, notes, strict=True)):
            if note.ends:
                snapshots.pop(note.session, None)
                continue
            if note.keeps_snapshot and not _LOCKS_A_TABLE.match(step.text):
                snapshots.setdefault(note.session, place)
            committed: int | None = place if note.alone and not step.error else None
            if not note.alone and not step.error:
                end = next(
                    (
                        later
                        for later in range(place + 1, len(notes))
                        if notes[later].session is note.session
                        and (notes[later].ends or self._turns.steps[later].error)
                    ),
                    None,
                )
                if end is not None and _commits(self._turns.steps[end]):
                    committed = end
            yield Act(
                place,
                step.session,
                step.text,
                note.values,
                note.footprint.reads,
                note.footprint.changes if WRITES.search(step.text) else NOTHING,
                committed,
                step.read,
                step.rows,
                step.waited_for,
                step.error,
                snapshots.get(note.session),
            )
            if step.error:
                snapshots.pop(note.session, None)

    async def _judge(self, results: Sequence[ClientResult]) -> tuple[ViolatedInvariant, ...]:
        sold = [number for result in results for number in result.numbers]
        again = sorted({number for number in sold if sold.count(number) > 1})
        found = await self._sandbox.judge()
        if again:
            rows = tuple((number, sold.count(number)) for number in again)
            told = ViolatedInvariant("no number sold twice", ("number", "times"), rows, len(rows))
            found = (told, *found)
        return found

    async def _perform(self, strategy: Strategy) -> tuple[bool, tuple[ClientResult, ...]]:
        try:
            await self._sandbox.reset()
        except psycopg.errors.LockNotAvailable:
            raise CouldNotTell("the data cannot be put back: something still locks them") from None
        self._turns.begin()
        tasks: list[asyncio.Task[ClientResult]] = []
        try:
            for client in self._turns.clients:
                self._turns.started(client)
                task = asyncio.create_task(self._act(client))
                tasks.append(task)
                task.add_done_callback(partial(self._ended, client))
                await self._settle(client)
            complete = await self._take_steps(strategy)
        except LockOrderChanged:
            raise
        except BaseException:  # the exploration ends: a client may hang for ever
            for task in tasks:
                task.cancel()
            raise
        finally:  # whatever happened: nothing of it runs on into the next schedule
            self._turns.let_run()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        told = tuple(one for one in results if isinstance(one, ClientResult))
        for client, one in zip(self._turns.clients, told, strict=True):
            if one.ending == "unknown":  # after the last turn of a schedule that was cut short
                raise CouldNotTell(f"{client.name} got no answer: {one.message}")
        await self._turns.rest(SETTLE_S)
        return complete, told

    async def _act(self, client: ClientTurn) -> ClientResult:
        """Let a client act, again after a conflict if it retries, under a lock if it takes one."""
        async with contextlib.AsyncExitStack() as stack:
            if self._ways.advisory_lock:
                url = self._runner.words[client.index]["database_url"]
                connection = await stack.enter_async_context(await AsyncConnection.connect(url))
                await self._statements["take_lock"].execute(connection)
            for _ in range(MAX_RETRIES + 1 if self._ways.retry else 1):
                place = len(self._turns.steps)
                result = await self._runner.run(client.index)
                if self._ways.one_transaction:
                    sqlstate = await self._turns.commit(client, SETTLE_S)
                    if sqlstate:
                        result = ClientResult("failed", f"the commit failed ({sqlstate})")
                mine = [step for step in self._turns.steps[place:] if step.session == client.index]
                if result.ending == "success" or not any(step.error in CONFLICTS for step in mine):
                    break
        await self._turns.leave(client, _LEAVE_S)
        return result

    def _ended(self, client: ClientTurn, task: "asyncio.Task[ClientResult]") -> None:
        if task.cancelled():  # the exploration ends
            return
        waited = asyncio.get_running_loop().time() - client.since
        result = None if task.exception() else task.result()
        self._turns.ended(
            client,
            gave_up=waited > _GIVES_UP_S and not (result and result.ending == "success"),
            unanswered=result.message if result and result.ending == "unknown" else "",
        )

    async def _take_steps(self, strategy: Strategy) -> bool:
        while ready := [c for c in self._turns.clients if c.phase is Phase.ASKS]:
            self._require_same(ready)
            chosen = strategy.choose(self._turns.steps, [client.index for client in ready])
            if chosen is None:
                return False
            client = self._turns.clients[chosen]
            if client not in ready:
                raise LockOrderChanged
            self._turns.go(client)
            await self._settle(client)
        stuck = [c.name for c in self._turns.clients if c.phase is not Phase.ENDED]
        if stuck:
            raise CouldNotTell(
                f"{', '.join(stuck)} waits for a lock that nobody who acts will give back: "
                "a transaction was left open"
            )
        return True

    def _require_same(self, ready: Sequence[ClientTurn]) -> None:
        """Refuse to go on when the same steps have led elsewhere than before.

        Where others are ready, the server has let waiting ones go on in another order.
        """
        steps = self._turns.steps
        path = tuple(step.session for step in steps)
        answers = tuple(
            (one.session, f"{one.rows} rows, {one.error or 'no error'}") for one in steps
        )
        asked = tuple((c.index, step.text) for c in ready if (step := self._turns.step_of(c)))
        before = self._seen.setdefault(path, (answers, asked))
        if [index for index, _ in before[1]] != [index for index, _ in asked]:
            raise LockOrderChanged
        for had, verb, found in zip(before, ("got", "sent"), (answers, asked), strict=True):
            for (index, one), (_, other) in zip(had, found, strict=True):
                if one != other:
                    raise CouldNotTell(
                        f"not repeatable: in the same {len(path)} steps "
                        f"{self._turns.clients[index].name} {verb} "
                        f"first {_short(one)!r}, then {_short(other)!r}"
                    )

    # Waiting until a step has had its effect

    async def _settle(self, mover: ClientTurn) -> None:
        waiting = {c for c in self._turns.clients if self._is_blocked(c)}
        since: dict[ClientTurn, float] = {}
        while True:
            if self._turns.problem:
                raise self._turns.problem
            for client in [c for c in waiting if c.phase is not Phase.AT_SERVER]:
                waiting.discard(client)
                self._turns.released(client)
            if any(c.phase is Phase.RUNS for c in self._turns.clients):
                await self._until_seen()
                continue
            at_server = [c for c in self._turns.clients if c.phase is Phase.AT_SERVER]
            if at_server and not await self._all_blocked(at_server, waiting, since):
                continue
            answered = [c for c in self._turns.clients if c.phase is Phase.ANSWERED]
            if not answered:
                return
            self._turns.go(mover if mover in answered else answered[0])

    def _is_blocked(self, client: ClientTurn) -> bool:
        step = self._turns.step_of(client)
        return client.phase is Phase.AT_SERVER and step is not None and bool(step.waited_for)

    async def _until_seen(self) -> None:
        """Wait for a client whose own code runs; where it does nothing visible, say so."""
        if not await self._change(SETTLE_S):
            names = [c.name for c in self._turns.clients if c.phase is Phase.RUNS]
            raise CouldNotTell(
                f"{', '.join(names)} waits for something that PostgreSQL does not know of, such as "
                "a pool without a free connection, a lock elsewhere, or another service: give the "
                "service a connection for each client, or look at that lock"
            )

    async def _all_blocked(
        self,
        at_server: Sequence[ClientTurn],
        waiting: set[ClientTurn],
        since: dict[ClientTurn, float],
    ) -> bool:
        """Wait a moment for answers; return whether all of *at_server* wait for locks."""
        now = asyncio.get_running_loop().time()
        fresh = [client for client in at_server if client not in waiting]
        if fresh and await self._change(_LOOK_SOON_S if self._may_block(fresh) else _LOOK_LATE_S):
            return False
        pids = [client.pid for client in at_server]
        cursor = await self._statements["blockers"].execute(self._sandbox.control, pids=pids)
        by_pid = {client.pid: client for client in at_server}
        blocked: dict[int, tuple[int, ...]] = {}
        for pid, blockers in await cursor.fetchall():
            owners = [self._turns.owner_of(blocker) for blocker in blockers]
            if not owners or any(owner is None for owner in owners):
                self._require_time(by_pid[pid], since, now)
                return False
            blocked[by_pid[pid].index] = tuple(sorted({o.index for o in owners if o}))
        if not acyclic(blocked):
            return False  # a cycle: the server will end it
        for client in fresh:
            began = since.setdefault(client, now)
            if self._turns.locked_by(client) and now - began < _LOOK_IS_OVER_S:
                return False
        require_lock_order(self._turns.steps, blocked)
        for client in at_server:
            self._turns.waits(client, blocked[client.index])
            waiting.add(client)
        return True

    def _may_block(self, fresh: Sequence[ClientTurn]) -> bool:
        return any(
            step and overlap(step.effect.locks, self._turns.locked_by(other))
            for client in fresh
            for step in [self._turns.step_of(client)]
            for other in self._turns.clients
            if other is not client
        )

    def _require_time(self, client: ClientTurn, since: dict[ClientTurn, float], now: float) -> None:
        if now - since.setdefault(client, now) > _STATEMENT_S:
            raise CouldNotTell(
                f"{client.name}: a statement has not ended after {_STATEMENT_S:.0f} s, and "
                "waits for no other client"
            )

    async def _change(self, timeout_s: float) -> bool:
        """Wait until a client asks, is answered or ends; return False when none did in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._turns.changed.wait()
        except TimeoutError:
            return False
        self._turns.changed.clear()
        return True


def _commits(step: Step) -> bool:
    return step.error is None and not step.text.lstrip().lower().startswith(("rollback", "abort"))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
