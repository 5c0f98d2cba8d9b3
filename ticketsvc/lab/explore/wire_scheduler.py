"""Run the schedules of a scenario's clients: each statement waits at the proxy for its turn."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import psycopg
from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.explore.acts import Act
from ticketsvc.lab.explore.causes import Cause, cause_of
from ticketsvc.lab.explore.effects import NOTHING
from ticketsvc.lab.explore.lock_watch import CouldNotTell, LockOrderChanged
from ticketsvc.lab.explore.scheduler import Scheduler
from ticketsvc.lab.explore.schedules import Run, Step
from ticketsvc.lab.explore.strategies import Strategy
from ticketsvc.lab.explore.wire_turns import ClientTurn, WireTurns
from ticketsvc.lab.scenarios.clients import ClientResult, Runner
from ticketsvc.lab.scenarios.sandbox import NO_NUMBER_TWICE, Sandbox, ViolatedInvariant
from ticketsvc.lab.wire.session import Session
from ticketsvc.lab.wire.statements import shortened

_GIVES_UP_S = 1.5
"""A client that fails after having done nothing for so long has given up a wait elsewhere."""

_LEAVE_S = 1.0
"""How long a client that has ended may need to end its transaction."""


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
class ScenarioRun(Run):
    """One schedule of a scenario: how clients ended, what is violated."""

    results: tuple[ClientResult, ...]
    violated: tuple[ViolatedInvariant, ...]
    acts: tuple[Act, ...] = field(default=(), repr=False)

    @cached_property
    def causes(self) -> tuple[Cause | None, ...]:
        """The cause of each violation, where the evidence shows one.

        What has no SQL, as numbers sold twice, goes by what the other violated ones look at.
        """
        every = " ".join(one.sql for one in self.violated)
        return tuple(cause_of(self.acts, one.sql or every) for one in self.violated)

    @property
    def cause(self) -> Cause | None:
        """The first cause that is known."""
        return next(filter(None, self.causes), None)

    @property
    def clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.violated

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


class WireScheduler(Scheduler[ClientTurn, ClientResult]):
    """Runs the schedules of one scenario in its sandbox."""

    turns: WireTurns

    def __init__(self, sandbox: Sandbox, runner: Runner, turns: WireTurns, ways: Ways) -> None:
        super().__init__(turns, sandbox.control)
        self._sandbox = sandbox
        self._runner = runner
        self._ways = ways
        self._seen: dict[tuple[int, ...], tuple[_Found, _Found]] = {}

    async def run(self, strategy: Strategy) -> ScenarioRun | None:
        """Run one schedule, as `perform` does, and judge it."""
        results = await self.perform(strategy)
        if results is None:
            return None
        return ScenarioRun(
            names=tuple(client.name for client in self.turns.clients),
            steps=tuple(self.turns.steps),
            results=tuple(results),
            violated=await self._judge(results),
            acts=tuple(self._acts()),
            represents=self.represents,
        )

    async def end(self) -> None:
        """Raise `CouldNotTell` for what has come since the last schedule."""
        await self.turns.rest(self.SETTLE_S)

    def _acts(self) -> Iterator[Act]:
        snapshots: dict[Session, int] = {}  # where those of open transactions were taken
        for place, (step, note) in enumerate(zip(self.turns.steps, self.turns.notes, strict=True)):
            if note.ends:
                snapshots.pop(note.session, None)
                continue
            if note.keeps_snapshot and not _LOCKS_A_TABLE.match(step.text):
                snapshots.setdefault(note.session, place)
            yield Act(
                place,
                step.session,
                self.turns.clients[step.session].name,
                step.text,
                note.values,
                note.footprint.reads,
                note.footprint.changes if WRITES.search(step.text) else NOTHING,
                self._committed(place),
                step.read,
                step.rows,
                step.waited_for,
                snapshots.get(note.session),
            )
            if step.error:
                snapshots.pop(note.session, None)

    def _committed(self, place: int) -> int | None:
        """Return the place of the step that committed the one at *place*; None: none did."""
        steps, notes = self.turns.steps, self.turns.notes
        if steps[place].error:
            return None
        if notes[place].alone:
            return place
        for later in range(place + 1, len(notes)):
            same = notes[later].session is notes[place].session
            if same and (notes[later].ends or steps[later].error):
                return later if _commits(steps[later]) else None
        return None

    async def _judge(self, results: Sequence[ClientResult]) -> tuple[ViolatedInvariant, ...]:
        times = Counter(number for result in results for number in result.numbers)
        rows = tuple((number, count) for number, count in sorted(times.items()) if count > 1)
        told = ViolatedInvariant(NO_NUMBER_TWICE, ("number", "times"), rows, len(rows))
        return (*[told] * bool(rows), *await self._sandbox.judge())

    async def perform_once(self, strategy: Strategy) -> tuple[bool, list[ClientResult]]:
        """Put the data back, and take the steps; return whether the schedule reached its end."""
        try:
            await self._sandbox.reset()
        except psycopg.errors.LockNotAvailable:
            raise CouldNotTell("the data cannot be put back: something still locks them") from None
        complete, results = await super().perform_once(strategy)
        for client, one in zip(self.turns.clients, results, strict=True):
            if one.ending == "unknown":  # after the last turn of a schedule that was cut short
                raise CouldNotTell(f"{client.name} got no answer: {one.message}")
        await self.turns.rest(self.SETTLE_S)
        return complete, results

    async def act(self, client: ClientTurn) -> ClientResult:
        """Let a client act, again after a conflict if it retries, under a lock if it takes one."""
        async with contextlib.AsyncExitStack() as stack:
            if self._ways.advisory_lock:
                url = self._runner.words[client.index]["database_url"]
                connection = await stack.enter_async_context(await AsyncConnection.connect(url))
                await load("scenarios")["take_lock"].execute(connection)
            for _ in range(MAX_RETRIES + 1 if self._ways.retry else 1):
                place = len(self.turns.steps)
                result = await self._runner.run(client.index)
                if self._ways.one_transaction:
                    sqlstate = await self.turns.commit(client, self.SETTLE_S)
                    if sqlstate:
                        result = ClientResult("failed", f"the commit failed ({sqlstate})")
                mine = [step for step in self.turns.steps[place:] if step.session == client.index]
                if result.ending == "success" or not any(step.error in CONFLICTS for step in mine):
                    break
        await self.turns.leave(client, _LEAVE_S)
        return result

    def ended(self, client: ClientTurn, task: "asyncio.Task[ClientResult]") -> None:
        """Take note of how *client* has ended."""
        if task.cancelled():  # the exploration ends
            return
        waited = asyncio.get_running_loop().time() - client.since
        result = None if task.exception() else task.result()
        self.turns.ended(
            client,
            gave_up=waited > _GIVES_UP_S and not (result and result.ending == "success"),
            unanswered=result.message if result and result.ending == "unknown" else "",
        )

    def before_step(self, ready: Sequence[ClientTurn]) -> None:
        """Refuse to go on when the same steps have led elsewhere than before.

        Where others are ready, the server has let waiting ones go on in another order.
        """
        steps = self.turns.steps
        path = tuple(step.session for step in steps)
        answers = tuple(
            (one.session, f"{one.rows} rows, {one.error or 'no error'}") for one in steps
        )
        asked = tuple((c.index, step.text) for c in ready if (step := c.step))
        before = self._seen.setdefault(path, (answers, asked))
        if [index for index, _ in before[1]] != [index for index, _ in asked]:
            raise LockOrderChanged
        for had, verb, found in zip(before, ("got", "sent"), (answers, asked), strict=True):
            for (index, one), (_, other) in zip(had, found, strict=True):
                if one != other:
                    raise CouldNotTell(
                        f"not repeatable: in the same {len(path)} steps "
                        f"{self.turns.clients[index].name} {verb} "
                        f"first {shortened(one)!r}, then {shortened(other)!r}"
                    )


def _commits(step: Step) -> bool:
    return step.error is None and not step.text.lstrip().lower().startswith(("rollback", "abort"))
