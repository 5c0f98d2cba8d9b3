"""Ask the server what a foreign statement touches, by the plan that it would make of it.

Everything errs on the side of touching more. Some of it depends on what any statement does, and so
may be learnt late: `assumed` then changes, and what was left out before has to be done again.
"""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.explore.effects import UNKNOWN, Footprint
from ticketsvc.lab.explore.footprints import Footprints

_NAME = "ticketsvc_planned"
_PARAMETER = re.compile(r"\$(\d+)")
_NUMBERS = frozenset({"(numbers of sequences)"})
# What draws numbers, or the time: they go to the session that comes first.
_DRAWS = r"nextval\(|\mnow\(|clock_timestamp\(|_timestamp\(|CURRENT_|LOCALTIME|timeofday\("
_DRAWING = re.compile(_DRAWS.replace(r"\m", r"\b"))
_DRAWN = re.compile(r"nextval\([^)]*\)")
_LOOKING = re.compile(r"\b(currval|lastval|setval)\(")
_STAR = re.compile(r"(\b(select|returning|distinct|all)|,|\.)\s*\*", re.IGNORECASE)
_LOCKS_TABLES = re.compile(
    r"\b(lock|truncate|alter|create|drop|reindex|cluster|refresh|execute)\b", re.IGNORECASE
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_RELATION = re.compile(r"'Relation Name': '([^']*)'")


class WireFootprints:
    """What statements touch, each asked for once, by its text.

    What cannot be planned, or calls a function whose body no plan shows, may touch anything.
    """

    def __init__(self, connection: AsyncConnection[Any], watched: Sequence[str] = ()) -> None:
        """*watched*: SQL that looks at the data after a run; it may look at numbers, too."""
        self._connection = connection
        self._watched = watched
        self._plans = Footprints(connection)
        self._known: dict[tuple[str, str], Footprint] = {}
        self._functions = self._numbered = re.compile("")
        self._sources: dict[str, list[str]] = {}  # of functions, by name
        self._drawing: set[str] = set()
        self._numbers_matter = False
        self._tables_locked = False
        self.checks_late = False
        """Whether anything may be checked as late as at COMMIT."""

    @property
    def assumed(self) -> tuple[bool, bool]:
        """What all footprints depend on: whether it matters who draws numbers first, as something
        looks at them, and who reads, as something locks whole tables."""
        return self._numbers_matter, self._tables_locked

    async def of(self, texts: Sequence[str], path: str = "") -> Footprint:
        """Return the footprint of *texts* together; *path*: their search path, if it is set."""
        if not self._functions.pattern:
            await self._prepare()
        found = [await self._one(text, path) for text in texts]
        draws = self._numbers_matter and any(text in self._drawing for text in texts)
        return Footprint(
            reads=frozenset().union(*(one.reads for one in found)),
            writes=frozenset(_NUMBERS if draws else ()).union(*(one.writes for one in found)),
            inserts=frozenset().union(*(one.inserts for one in found)),
        )

    def locks_of(self, footprint: Footprint) -> Footprint:
        """Return *footprint* with what it locks by reading, where something locks whole tables."""
        if not self._tables_locked:
            return footprint
        return Footprint(footprint.reads, footprint.writes | footprint.reads | footprint.inserts)

    async def _prepare(self) -> None:
        # A client may have locked what is to be planned: then it cannot be planned.
        for setting in ("plan_cache_mode = force_generic_plan", "enable_partition_pruning = off",
                        "lock_timeout = '2s'"):  # fmt: skip
            await self._connection.execute(f"SET {setting}".encode())
        cursor = await load("scenarios")["functions"].execute(self._connection)
        alone = []
        for name, source, runs_alone in await cursor.fetchall():
            self._sources.setdefault(name, []).append(source or "")
            alone += [f"{name}("] * runs_alone
        self._functions = _words([*self._sources], r"\"?\(")
        self._numbered = _words(await self._column("numbered_columns", drawn=_DRAWS), r"\b")
        (self.checks_late,) = await self._column("deferrable")
        for text in (*self._watched, *alone):
            self._look_into(text)

    def _look_into(self, text: str, seen: frozenset[str] = frozenset()) -> None:
        """Learn from *text*, and from all functions that it may call, what matters to others."""
        text = _COMMENT.sub("", text)
        self._numbers_matter |= bool(_STAR.search(text) or self._numbered.search(text))
        self._tables_locked |= bool(_LOCKS_TABLES.search(text))
        for name in {*self._functions.findall(text)} - seen:
            for source in self._sources[name]:
                self._look_into(source, seen | {name})

    async def _column(self, name: str, **parameters: object) -> list[Any]:
        cursor = await load("scenarios")[name].execute(self._connection, **parameters)
        return [row[0] for row in await cursor.fetchall()]

    async def _one(self, text: str, path: str) -> Footprint:
        if (text, path) not in self._known:
            self._known[text, path] = await self._ask(text, path)
        return self._known[text, path]

    async def _ask(self, text: str, path: str) -> Footprint:
        try:
            plans = await self._plans_of(text, path)
        except (psycopg.Error, LookupError, TypeError):
            self._numbers_matter = True
            self._look_into(text)
            return UNKNOWN
        shown = str(plans)
        if self._functions.search(shown):
            self._look_into(shown)
            return UNKNOWN
        at_sequences = any(map(self._numbered.fullmatch, _RELATION.findall(shown)))
        if at_sequences or _LOOKING.search(shown) or _DRAWING.search(shown):
            self._drawing.add(text)
        if _LOOKING.search(shown) or self._numbered.search(_DRAWN.sub("", shown)):
            self._numbers_matter = True
        return await self._plans.of_plan(text.encode(), {"Node Type": "All", "Plans": plans})

    async def _plans_of(self, text: str, path: str) -> list[Any]:
        """Return the generic plans of *text* (a rule may make several of one)."""
        control = self._connection
        number = max(map(int, _PARAMETER.findall(text)), default=0)
        values = f"({', '.join(['NULL'] * number)})" if number else ""
        before = await self._search(path) if path else ""
        try:
            # In binary, as then the server takes one statement only.
            await control.execute(f"PREPARE {_NAME} AS {text}".encode(), binary=True)
            try:
                cursor = await control.execute(load("scenarios")["planned"].query + values.encode())
                row = await cursor.fetchone()
            finally:
                await control.execute(f"DEALLOCATE {_NAME}".encode())
        finally:
            if path:
                await self._search(before)
        return [found["Plan"] for found in (row or ([],))[0]]

    async def _search(self, path: str) -> str:
        cursor = await load("scenarios")["take_search_path"].execute(self._connection, path=path)
        row = await cursor.fetchone()
        return str(row[0]) if row else ""


def _words(names: Sequence[str], end: str) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(map(re.escape, names)) or '(?!)'}){end}")
