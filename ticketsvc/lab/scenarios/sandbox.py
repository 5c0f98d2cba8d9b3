"""The scratch database of a scenario: filled once, put back before every run, judged after it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.statements import load
from ticketsvc.errors import UsageError
from ticketsvc.lab.explore.lock_watch import DEADLOCK_TIMEOUT_MS
from ticketsvc.lab.scenarios.spec import Scenario

_VACUUM_EVERY = 20
_ROWS_SHOWN = 5
NO_NUMBER_TWICE = "no number sold twice"
"""The invariant of what clients are told; the others are of the database."""


@dataclass(frozen=True)
class ViolatedInvariant:
    """An invariant that does not hold: its name, and the first rows that its SQL returned."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    count: int
    sql: str = ""


class Sandbox:
    """A database with a scenario's schema, and a connection of its own to look at it."""

    def __init__(
        self, url: str, control: AsyncConnection[Any], scenario: Scenario, *, searches_soon: bool
    ) -> None:
        self.url = url
        self.control = control
        self.searches_soon = searches_soon
        """Whether a session that waits looks for a deadlock after a moment, not after a second."""
        self._scenario = scenario
        self._restore = ""
        self._vacuum = ""
        self._runs = 0

    async def fill(self, fixes: Sequence[str]) -> None:
        """Run the schema, then *fixes*; remember the data if the scenario does not reset them.

        Raise `UsageError` naming the key that fails.
        """
        database = self._scenario.database
        for text in database.schema_:
            await self._run(self._scenario.sql_of(text), "database.schema", shown=text)
        names = {fix.sql: f"fix {fix.name!r}" for fix in self._scenario.fix}
        for text in fixes:
            await self._run(self._scenario.sql_of(text), names.get(text, "fix.sql"))
        statements = load("scenarios")
        cursor = await self.control.execute(statements["tables"].query)
        tables = await cursor.fetchall()
        all_tables = ", ".join(name for name, _ in tables)
        self._vacuum = f"{statements['vacuum'].query.decode()} {all_tables}" if tables else ""
        if database.reset is None:
            await self._save(tables)

    async def reset(self) -> None:
        """Put the data back as they are before every run."""
        if self._vacuum and self._runs % _VACUUM_EVERY == _VACUUM_EVERY - 1:
            await self.control.execute(self._vacuum.encode())
        self._runs += 1
        if self._scenario.database.reset is not None:
            await self._run(self._scenario.sql_of(self._scenario.database.reset), "database.reset")
        elif self._restore:
            await self.control.execute(self._restore.encode())

    async def judge(self) -> tuple[ViolatedInvariant, ...]:
        """Return the invariants that do not hold now; raise `UsageError` for one that fails or
        writes."""
        await self.control.execute(b"BEGIN READ ONLY")
        try:
            return await judge_invariants(self.control, self._scenario)
        finally:
            if not self.control.closed:
                await self.control.execute(b"ROLLBACK")

    async def _run(self, text: str, key: str, shown: str = "") -> None:
        try:
            await self.control.execute(text.encode())
        except psycopg.Error as problem:
            place = problem.diag.statement_position
            line = f", line {text[: int(place) - 1].count(chr(10)) + 1}" if place else ""
            where = f" ({shown}{line})" if shown.endswith(".sql") else ""
            reason = await _reason(problem, self.control)
            raise UsageError(f"{self._scenario.file}: {key}{where}: {reason}") from None

    async def _save(self, tables: Sequence[tuple[Any, ...]]) -> None:
        """Copy every table, and write the text that puts the copies back."""
        statements = load("scenarios")
        await self.control.execute(statements["saved_schema"].query)
        names, columns = ([row[place] for row in tables] for place in (0, 1))
        cursor = await statements["save"].execute(self.control, names=names, columns=columns)
        steps = ["BEGIN", "SET LOCAL session_replication_role = replica"]  # no trigger, no key
        for copy, *back in await cursor.fetchall():
            await self.control.execute(copy.encode())
            steps += back
        for name in ("restore_sequences", "refresh_views"):
            cursor = await statements[name].execute(self.control)
            steps += [text for (text,) in await cursor.fetchall()]
        self._restore = "; ".join([*steps, "COMMIT"])
        try:
            await self.control.execute(self._restore.encode())
        except psycopg.errors.InsufficientPrivilege:
            await self.control.execute(b"ROLLBACK")
            raise UsageError(
                f"{self._scenario.file}: database.reset is missing: this role may not put the data "
                "back by itself; give the SQL that does"
            ) from None


async def judge_invariants(
    connection: AsyncConnection[Any], scenario: Scenario
) -> tuple[ViolatedInvariant, ...]:
    """Return the invariants that do not hold; raise `UsageError` naming one whose SQL fails."""
    violated = []
    for invariant in scenario.invariant:
        sql = scenario.sql_of(invariant.sql)
        try:
            # Prepared, it can be no more than one statement.
            cursor = await connection.execute(sql.encode(), prepare=True)
            rows = await cursor.fetchall() if cursor.description else None
        except psycopg.Error as problem:
            reason = await _reason(problem, connection)
            raise UsageError(f"{scenario.file}: invariant {invariant.name!r}: {reason}") from None
        if rows is None:
            raise UsageError(
                f"{scenario.file}: invariant {invariant.name!r}: it must be a SELECT: every row "
                "that it returns is a violation"
            )
        if rows:
            columns = tuple(column.name for column in cursor.description or ())
            violated.append(
                ViolatedInvariant(
                    invariant.name, columns, tuple(map(tuple, rows[:_ROWS_SHOWN])), len(rows), sql
                )
            )
    return tuple(violated)


@contextlib.asynccontextmanager
async def open_sandbox(
    conninfo: str, scenario: Scenario, fixes: Sequence[str] = ()
) -> AsyncIterator[Sandbox]:
    """Make a scratch database beside *conninfo* with the scenario's schema and *fixes*; drop it."""
    with scratch_database(conninfo, "explore", schemas=False) as url:
        async with await AsyncConnection.connect(
            url, autocommit=True, row_factory=tuple_row, application_name="ticketsvc-explore"
        ) as control:
            searches_soon = await _set_defaults(control, scenario)
            sandbox = Sandbox(url, control, scenario, searches_soon=searches_soon)
            await sandbox.fill(fixes)
            yield sandbox


async def audit_database(url: str, scenario: Scenario) -> tuple[ViolatedInvariant, ...]:
    """Return the invariants that do not hold at *url* now: read-only, in one snapshot."""
    # Prepared, an invariant is one statement: it cannot end the transaction that only reads.
    async with await AsyncConnection.connect(
        url, row_factory=tuple_row, prepare_threshold=0
    ) as connection:
        await connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = await judge_invariants(connection, scenario)
        await connection.execute(b"DEALLOCATE ALL")  # a pooler may keep the session
        await connection.rollback()
        return found


async def _set_defaults(control: AsyncConnection[Any], scenario: Scenario) -> bool:
    """Set what sessions of the scratch database start with; return `searches_soon`."""
    searches_soon = True
    settings = {
        "default_transaction_isolation": scenario.database.isolation,
        "synchronous_commit": "off",
        "deadlock_timeout": f"{DEADLOCK_TIMEOUT_MS}ms",
    }
    for setting, value in settings.items():
        cursor = await load("scenarios")["session_default"].execute(
            control, setting=setting, value=value
        )
        row = await cursor.fetchone()
        try:
            await control.execute(str(row[0] if row else "").encode())
        except psycopg.errors.InsufficientPrivilege:  # not every role may set the last one
            searches_soon = False
    await control.execute(b"SET default_transaction_isolation = 'read committed'")
    return searches_soon


async def _reason(problem: psycopg.Error, connection: AsyncConnection[Any]) -> str:
    """Return in one line why a statement failed; close a connection that it leaves in a COPY."""
    if connection.info.transaction_status == TransactionStatus.ACTIVE:
        await connection.close()
        return "COPY from or to the client cannot run here: use INSERT or SELECT"
    return (problem.diag.message_primary or str(problem)).strip().splitlines()[0]
