"""Explore cases: run every schedule, one of each class, or a sample."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row, tuple_row

from ticketsvc.allocators import ALLOCATORS, Allocator
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.explore.case_scheduler import CaseScheduler
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.exploration import Exploration
from ticketsvc.lab.explore.footprints import Footprints
from ticketsvc.lab.explore.lock_watch import DEADLOCK_TIMEOUT_MS, CouldNotTell
from ticketsvc.lab.explore.schedules import ScheduleRun
from ticketsvc.lab.explore.sessions import SteppedConnection, SteppedCursor
from ticketsvc.lab.explore.strategies import Fixed, Reduced, choose_strategy

DEFAULT_LIMIT = 250_000
_OPTIONS = (
    f"-c synchronous_commit=off -c deadlock_timeout={DEADLOCK_TIMEOUT_MS} "
    "-c enable_seqscan=off -c application_name=ticketsvc-explore"
)


class Explorer:
    """Explores cases, one after the other, on the connections of one scratch database."""

    def __init__(
        self, url: str, control: AsyncConnection[Any], stack: contextlib.AsyncExitStack
    ) -> None:
        self._url = url
        self._control = control
        self._stack = stack
        self._connections: list[SteppedConnection] = []
        self._ddl: tuple[str, ...] = ()
        self._footprints: Footprints | None = None

    async def explore(
        self,
        case: Case,
        *,
        full: bool = False,
        sample: int = 0,
        seed: int = 1,
        limit: int = DEFAULT_LIMIT,
        keep: bool = False,
        snapshots: bool = False,
        allocator: type[Allocator] | None = None,
        changes: Sequence[str] = (),
        alike: bool = False,
        on_run: Callable[[ScheduleRun], object] = lambda _: None,
    ) -> Exploration:
        """Run one schedule of each class of *case*; count them all.

        With *full* every schedule is run, with *sample* that number, drawn by *seed*; never more
        than *limit*. *keep* keeps the runs, *snapshots* adds the ledger after each step.
        *allocator* and *changes* (DDL) replace what the case names. *alike*: the allocator
        treats all buyers alike, so classes that differ only in which buyer is which count as
        one. The counts of schedules are the same.

        Raise `CouldNotTell` when the same schedule keeps going another way.
        """
        scheduler = await self._scheduler(case, allocator, changes)
        buyers = case.buyers
        strategy = await choose_strategy(
            scheduler.run,
            buyers,
            full=full,
            sample=sample,
            seed=seed,
            alike=buyers if alike else 1,
        )
        found = Exploration(case, sampled=sample > 0)
        began = time.perf_counter()
        while not strategy.finished and found.classes < limit:
            run = await scheduler.run(strategy, snapshots=snapshots)
            if run is None:
                continue
            if isinstance(strategy, Reduced):
                _require_sound(run, strategy)
            found.count(run)
            on_run(run)
            if keep:
                found.runs.append(run)
        found.seconds = time.perf_counter() - began
        found.complete = strategy.finished and strategy.exhaustive
        return found

    async def replay(
        self, case: Case, choices: Sequence[int], *, allocator: type[Allocator] | None = None
    ) -> ScheduleRun | None:
        """Run one schedule of *case*, with snapshots; return None when it does not exist."""
        scheduler = await self._scheduler(case, allocator, ())
        strategy = Fixed(choices)
        run = await scheduler.run(strategy, snapshots=True)
        return run if strategy.followed else None

    async def _scheduler(
        self, case: Case, allocator: type[Allocator] | None, changes: Sequence[str]
    ) -> CaseScheduler:
        used = allocator or ALLOCATORS[case.allocator]
        constraint = used.mechanism.constraint.replace("{schema}", case.schema)
        self._change_schemas((*[constraint] * bool(constraint), *changes))
        while len(self._connections) < case.buyers:
            connection = await SteppedConnection.connect(
                self._url,
                autocommit=True,
                options=_OPTIONS,
                row_factory=namedtuple_row,
                cursor_factory=SteppedCursor,
                # A rollback would drop all prepared statements, and retries roll back often.
                prepare_threshold=None,
            )
            self._connections.append(await self._stack.enter_async_context(connection))
        footprints = self._footprints = self._footprints or Footprints(self._control)
        return CaseScheduler(
            case, used, self._control, self._connections[: case.buyers], footprints
        )

    def _change_schemas(self, ddl: tuple[str, ...]) -> None:
        """Bring both schemas to their state after *ddl*, which a case needs."""
        if ddl == self._ddl:
            return
        with psycopg.connect(self._url, autocommit=True) as connection:
            # Always recreated: a constraint cannot be added over duplicates that a case has left.
            ensure_schemas(connection, recreate=True)
            for change in ddl:
                connection.execute(change.encode())
        self._ddl, self._footprints = ddl, None


@contextlib.asynccontextmanager
async def open_explorer(url: str) -> AsyncIterator[Explorer]:
    """Return an explorer in a scratch database beside *url*, which is dropped at the end."""
    async with contextlib.AsyncExitStack() as stack:
        scratch = stack.enter_context(scratch_database(url, "explore"))
        control = await AsyncConnection.connect(
            scratch, autocommit=True, options=_OPTIONS, row_factory=tuple_row
        )
        yield Explorer(scratch, await stack.enter_async_context(control), stack)


async def replay(url: str, case: Case, choices: Sequence[int]) -> ScheduleRun | None:
    """Run one schedule beside *url*, as `Explorer.replay` does."""
    async with open_explorer(url) as explorer:
        return await explorer.replay(case, choices)


async def explore(url: str, case: Case, **options: Any) -> Exploration:
    """Explore one case beside *url*, as `Explorer.explore` does."""
    async with open_explorer(url) as explorer:
        return await explorer.explore(case, **options)


def _require_sound(run: ScheduleRun, strategy: Reduced) -> None:
    """Raise `CouldNotTell` when steps depend on others in a way that is not known."""
    if not strategy.exhaustive:
        raise CouldNotTell(
            f"schedule {run.id}: a step depends on others that were taken to be independent of "
            "it: explore this case in full"
        )
    for step in run.steps:
        if step.error and not (step.effect.sees or step.effect.locks):
            raise CouldNotTell(
                f"schedule {run.id}: {step.name} failed with {step.error} though it reads and "
                "locks nothing that others change: explore this case in full"
            )
