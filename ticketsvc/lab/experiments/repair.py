"""Repair a damaged database while it sells: the scripts of `sql/repair`, run by the real psql.

In a database of its own, a naive service damages an event and goes on selling it. A service with a
row lock joins it, then the naive one stops: old and new code run side by side for a while. Buyers
buy throughout, and the scripts find the damage, plan, carry the plan out and add the constraints.
"""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ticketsvc.database.locate import libpq_environment
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.statements import SQL_FOLDER, load
from ticketsvc.errors import UsageError
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.experiments.bursts import Trial, run_trial
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.scenarios.psql import find_psql
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each

SCRIPTS = ("1-find", "2-plan", "3-apply", "4-guard")
_SCHEMA: SchemaName = "original"
_BUYERS = 8


@dataclass(frozen=True)
class Repair:
    """What was sold and what was repaired.

    *found*, *plan* and *guards* are what three of the scripts printed, *planned* the holders in the
    plan. *history* has all attempts, *during* those that were in flight while the scripts ran.
    """

    before: EventVerdict
    after: EventVerdict
    found: pd.DataFrame
    plan: pd.DataFrame
    guards: pd.DataFrame
    planned: frozenset[str]
    history: list[Attempt]
    during: list[Attempt]

    @property
    def tickets_sold(self) -> int:
        """How many tickets the buyers were told that they have."""
        return sum(len(attempt.tickets) for attempt in self.history)

    @property
    def unplanned(self) -> set[str]:
        """The buyers who share a number with another, and are not in the plan."""
        holders: dict[int, set[str]] = {}
        for attempt in self.history:
            for number in attempt.tickets:
                holders.setdefault(number, set()).add(attempt.user)
        shared = [users for users in holders.values() if len(users) > 1]
        return set().union(*shared) - self.planned

    @property
    def errors(self) -> int:
        """How many purchases were not sold while the scripts ran."""
        return sum(attempt.outcome != "ok" for attempt in self.during)

    @property
    def longest_wait_s(self) -> float:
        """How long the slowest purchase took while the scripts ran."""
        return max(attempt.answered_s - attempt.sent_s for attempt in self.during)


async def repair_while_selling(lab: Lab, event: str, *, total: int, damaging: int) -> Repair:
    """Damage *event* by *damaging* overlapping purchases, and repair it while it sells.

    Raise `UsageError` with psql's words when a script fails.
    """
    with scratch_database(lab.url, "repair") as url:
        scratch = Lab(url)
        with contextlib.closing(scratch.connection):
            return await _repair(scratch, event, total, damaging)


async def _repair(lab: Lab, event: str, total: int, damaging: int) -> Repair:
    burst = Workload(event, damaging, concurrency=damaging)
    endless = Workload(event, sys.maxsize, concurrency=_BUYERS)
    with (
        running_each(lab.url, [("row_lock", {"schema": _SCHEMA})]) as fixed,
        contextlib.ExitStack() as loads,
    ):
        with running_each(lab.url, [("naive", {"schema": _SCHEMA})]) as naive:
            damaged = await run_trial(lab, naive, Trial("naive", _SCHEMA, total, burst))
            old = loads.enter_context(contextlib.closing(_Load(naive, endless)))
            await old.sell_more()
            new = loads.enter_context(contextlib.closing(_Load(fixed, endless)))
            await new.sell_more()
            history = [*damaged.history, *await old.stop()]
        before = await asyncio.to_thread(lab.audit, _SCHEMA, event)
        began_s = time.monotonic()
        printed = []
        with counted("scripts", len(SCRIPTS)) as count:
            for script in SCRIPTS:
                printed.append(await asyncio.to_thread(run_script, lab.url, script))
                await new.sell_more()
                count()
        sold = await new.stop()
    rows = lab.connection.execute(load("repair", _SCHEMA)["planned"].query, {"event": event})
    users = frozenset(user for (user,) in rows)
    after = await asyncio.to_thread(lab.audit, _SCHEMA, event)
    during = [attempt for attempt in sold if attempt.answered_s > began_s]
    found, plan, _, guards = printed
    return Repair(before, after, found, plan, guards, users, [*history, *sold], during)


class _Load:
    """Buyers who buy until they are stopped."""

    def __init__(self, urls: Sequence[str], workload: Workload) -> None:
        self._enough = False
        self._answers: asyncio.Queue[Attempt] = asyncio.Queue()
        self._load = asyncio.create_task(
            run_workload(
                urls, workload, on_answer=self._answers.put_nowait, enough=lambda: self._enough
            )
        )

    async def sell_more(self) -> None:
        """Wait until a purchase that begins after this call is sold."""
        now = time.monotonic()
        while True:
            attempt = await self._answers.get()
            if attempt.sent_s > now and attempt.outcome == "ok":
                return

    async def stop(self) -> list[Attempt]:
        """Let no new purchase begin, and return all attempts."""
        self._enough = True
        return await self._load

    def close(self) -> None:
        """End the buyers where they are, if they were not stopped."""
        self._load.cancel()


def run_script(url: str, name: str) -> pd.DataFrame:
    """Run `sql/repair/<name>.sql` on the schema `original`, and return the table it prints."""
    command = [find_psql(), "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", "-v", f"schema={_SCHEMA}"]
    command += ["-f", str(SQL_FOLDER / "repair" / f"{name}.sql")]
    environment = {**os.environ, **libpq_environment(url)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"{name}: {done.stderr.strip()}")
    return pd.read_csv(io.StringIO(done.stdout))
