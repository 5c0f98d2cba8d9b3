"""A few lines of SQL on two sessions, one statement after another, as a reader can follow them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psycopg
from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.experiments.lab import Lab

_SCHEMA = "ticketsvc_by_hand"
_LINE = re.compile(r"(\w+): +(.+)")
_VARIABLE = re.compile(r"(?<!:):([a-z_]+)")
_LOOK_S = 0.002


@dataclass(frozen=True)
class ByHand:
    """What each line of a script returned, and what all of them left in the two tables."""

    steps: pd.DataFrame
    available: int
    tickets: pd.DataFrame

    @property
    def results(self) -> list[str]:
        """What the lines returned, in the order in which they ended."""
        return list(self.steps["result"])

    @property
    def waits(self) -> str:
        """Who waited for whom and how it went on, in words, or that nobody did."""
        told = self.steps[self.steps["result"].str.startswith(("waits", "goes on"))]
        return ", then ".join(told["session"] + " " + told["result"]) or "nobody waits"


async def run_by_hand(lab: Lab, script: str, *, available: int = 1) -> ByHand:
    """Run *script*, one line after another, each `SESSION: STATEMENT`.

    The tables are pool (available) and tickets (number, buyer). A column of the last row that a
    session got is a variable of that session, as `:available`. A statement that has to wait for
    another session is left waiting, and the next line runs. Raise `ValueError` for a line of
    another form, or of a session that still waits.
    """
    steps: list[tuple[str, str, str]] = []
    sessions: dict[str, _Session] = {}
    with _tables(lab, available):
        async with contextlib.AsyncExitStack() as stack:
            for line in script.strip().splitlines():
                found = _LINE.fullmatch(line.strip())
                if found is None:
                    raise ValueError(f"{line.strip()!r}: must be SESSION: STATEMENT")
                name, statement = found.groups()
                if name not in sessions:
                    sessions[name] = await stack.enter_async_context(_session(lab))
                if sessions[name].waits:
                    raise ValueError(f"{line.strip()!r}: {name} still waits")
                waiting = [other for other, session in sessions.items() if session.waits]
                sessions[name].begin(statement)
                steps.append((name, statement, await _settle(lab, sessions, name)))
                for other in waiting:
                    result = await _settle(lab, sessions, other)
                    if not sessions[other].waits:
                        steps.append((other, "", f"goes on: {result}"))
        [(now_available,)] = lab.connection.execute(_STATEMENTS["pool"].query)
        rows = lab.connection.execute(_STATEMENTS["tickets"].query).fetchall()
        tickets = pd.DataFrame(rows, columns=["number", "buyer"])
    numbered = pd.RangeIndex(1, len(steps) + 1)
    table = pd.DataFrame(steps, columns=["session", "statement", "result"], index=numbered)
    return ByHand(table, now_available, tickets)


async def log_written(lab: Lab, *statements: str) -> pd.DataFrame:
    """Return how many records and bytes each of *statements* adds to the WAL, PostgreSQL's log.

    The tables are tickets (number, buyer) and ranges (first, last, buyer), empty at the start.
    """
    rows = []
    with _tables(lab, 0):
        async with _session(lab) as session:
            for statement in statements:
                query = _STATEMENTS["explain"].query + b" " + statement.encode()
                [[[found]]] = await (await session.connection.execute(query)).fetchall()
                plan = found["Plan"]
                rows.append((statement, plan["WAL Records"], plan["WAL Bytes"]))
    return pd.DataFrame(rows, columns=["statement", "records", "bytes"])


_STATEMENTS = load("by_hand", _SCHEMA)
_DROP = load("schemas", _SCHEMA)["drop_schema"].query


@contextlib.contextmanager
def _tables(lab: Lab, available: int) -> Iterator[None]:
    """Make the tables, and drop them in the end."""
    try:
        for query in (_DROP, _STATEMENTS["create"].query):
            lab.connection.execute(query)
        lab.connection.execute(_STATEMENTS["fill_pool"].query, {"available": available})
        yield
    finally:
        lab.connection.execute(_DROP)


class _Session:
    """One connection, its variables, and the statement that it was sent last."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self.variables: dict[str, object] = {}
        self.sent: asyncio.Task[str] | None = None

    @property
    def waits(self) -> bool:
        return self.sent is not None and not self.sent.done()

    def begin(self, statement: str) -> None:
        self.sent = asyncio.create_task(self._run(statement))

    async def _run(self, statement: str) -> str:
        """Return in words what the statement returned."""
        query = _VARIABLE.sub(r"%(\1)s", statement).encode()
        try:
            cursor = await self.connection.execute(query, self.variables)
            row = await cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            if error.sqlstate is None:  # it was not sent: a variable is not known, for instance
                raise ValueError(f"{statement!r} cannot be sent: {error}") from None
            return f"refused: {error.diag.message_primary} ({error.sqlstate})"
        if row is not None:
            names = [column.name for column in cursor.description or ()]
            found = dict(zip(names, row, strict=True))
            self.variables |= found
            return ", ".join(f"{name} = {value}" for name, value in found.items())
        if cursor.rowcount < 0:
            return ""
        return f"{cursor.rowcount or 'no'} row{'s' if cursor.rowcount > 1 else ''}"


@contextlib.asynccontextmanager
async def _session(lab: Lab) -> AsyncIterator[_Session]:
    """Open a session; in the end cancel what it waits for, and roll back."""
    async with await AsyncConnection.connect(
        lab.url, autocommit=True, application_name="ticketsvc-by-hand"
    ) as connection:
        await _STATEMENTS["use_schema"].execute(connection, schema=_SCHEMA)
        session = _Session(connection)
        try:
            yield session
        finally:
            if session.sent is not None and session.waits:
                session.sent.cancel()
                await asyncio.wait({session.sent})
            await connection.rollback()


async def _settle(lab: Lab, sessions: Mapping[str, _Session], name: str) -> str:
    """Return what the statement of session *name* returned, or for which session it waits."""
    names = {one.connection.info.backend_pid: other for other, one in sessions.items()}
    session = sessions[name]
    pids = [session.connection.info.backend_pid]
    assert session.sent is not None  # noqa: S101 - for the type checker
    while not (await asyncio.wait({session.sent}, timeout=_LOOK_S))[0]:
        query = load("explore")["blockers"].query
        [(_, blockers)] = lab.connection.execute(query, {"pids": pids}).fetchall()
        if blockers:
            return "waits for " + ", ".join(names.get(pid, "another") for pid in blockers)
    return session.sent.result()
