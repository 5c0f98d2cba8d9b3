"""Ask the server what a foreign statement touches, by the plan that it would make of it."""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection

from ticketsvc.database.statements import load
from ticketsvc.lab.explore.effects import ANYTHING, Footprint
from ticketsvc.lab.explore.footprints import Footprints

_ANYTHING = Footprint(reads=frozenset({ANYTHING}), writes=frozenset({ANYTHING}))
_PARAMETER = re.compile(r"\$(\d+)")
_NAME = "ticketsvc_planned"
_SEQUENCES = frozenset({"(numbers of sequences)"})
_NEXTVAL = re.compile(r"nextval\([^)]*\)")
_COUNT = re.compile(r"count\s*\(\s*\*\s*\)", re.IGNORECASE)


class WireFootprints:
    """What statements touch, each asked for once, by its text.

    What cannot be planned, or calls a function whose body no plan shows, may touch anything.
    """

    def __init__(self, connection: AsyncConnection[Any], watched: Sequence[str] = ()) -> None:
        """*watched*: SQL that looks at the data after a run; it may look at numbers, too."""
        self._connection = connection
        self._watched = watched
        self._numbered: re.Pattern[str] | None = None
        self.numbers_matter = False
        """Whether anything looks at the numbers that sequences give: then inserts that draw
        numbers depend on each other."""
        self._plans = Footprints(connection)
        self._known: dict[str, Footprint] = {}
        self._functions: re.Pattern[str] | None = None
        self._drawing: set[str] = set()

    async def of(self, texts: tuple[str, ...]) -> Footprint:
        """Return the footprint of *texts* together."""
        found = [await self._one(text) for text in texts]
        draws = self.numbers_matter and any(text in self._drawing for text in texts)
        return Footprint(
            reads=frozenset().union(*(one.reads for one in found)),
            writes=frozenset(_SEQUENCES if draws else ()).union(*(one.writes for one in found)),
            inserts=frozenset().union(*(one.inserts for one in found)),
        )

    async def _one(self, text: str) -> Footprint:
        if text not in self._known:
            self._known[text] = await self._ask(text)
        return self._known[text]

    async def _ask(self, text: str) -> Footprint:
        if self._functions is None:
            await self._connection.execute(b"SET plan_cache_mode = force_generic_plan")
            cursor = await self._connection.execute(load("scenarios")["functions"].query)
            names = [re.escape(row[0]) for row in await cursor.fetchall()]
            self._functions = re.compile(rf"\b({'|'.join(names) or '(?!)'})\(")
        try:
            plan = await self._plan(text)
        except psycopg.Error:
            return _ANYTHING
        if self._functions.search(str(plan)):
            return _ANYTHING
        footprint = await self._plans.of_plan(text.encode(), plan)
        await self._look_for_numbers(plan)
        if "nextval(" in str(plan):  # numbers go to the session that comes first
            self._drawing.add(text)
        return footprint

    async def _look_for_numbers(self, plan: Any) -> None:
        if self._numbered is None:
            cursor = await self._connection.execute(load("scenarios")["numbered_columns"].query)
            names = [re.escape(row[0]) for row in await cursor.fetchall()]
            self._numbered = re.compile(rf"\b({'|'.join(names) or '(?!)'})\b")
            self.numbers_matter = any(
                self._numbered.search(text) or "*" in _COUNT.sub("", text) for text in self._watched
            )
        if self._numbered.search(_NEXTVAL.sub("", str(plan))):
            self.numbers_matter = True

    async def _plan(self, text: str) -> Any:
        """Return the generic plan of *text*, whatever the values of its parameters."""
        number = max(map(int, _PARAMETER.findall(text)), default=0)
        values = f"({', '.join(['NULL'] * number)})" if number else ""
        await self._connection.execute(f"PREPARE {_NAME} AS {text}".encode())
        try:
            cursor = await self._connection.execute(
                f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {_NAME}{values}".encode()
            )
            row = await cursor.fetchone()
        finally:
            await self._connection.execute(f"DEALLOCATE {_NAME}".encode())
        return row[0][0]["Plan"] if row else {}
