"""Ask the server what a statement touches: by its plan, and by the constraints of its tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from psycopg import AsyncConnection

from ticketsvc.database.statements import Statement, load
from ticketsvc.lab.explore.effects import ANYTHING, NOTHING, UNKNOWN, Footprint

# The bits of pg_trigger.tgtype.
_TRIGGER_KINDS = {"Insert": 4, "Delete": 8, "Update": 16, "Merge": 4 | 8 | 16}


class Footprints:
    """What the statements of one database touch; each is asked for once."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._known: dict[bytes, Footprint] = {}
        self._guarded: frozenset[str] = NOTHING
        self._triggered: Mapping[str, frozenset[str]] = {}  # by the operation that fires them
        self._roots: Mapping[str, str] = {}  # of partitions, which go by the name of the whole

    async def of(self, query: bytes, parameters: Any) -> Footprint:
        """Return the footprint of *query*; if its plan names no table, it may touch anything."""
        if query not in self._known:
            asked = load("explore")["plan_of"].query + b" " + query
            row = await (await self._connection.execute(asked, parameters)).fetchone()
            self._known[query] = await self.of_plan(query, row[0][0]["Plan"] if row else {})
        return self._known[query]

    async def of_plan(self, query: bytes, plan: Mapping[str, Any]) -> Footprint:
        """Return the footprint of *query* by its *plan*, as EXPLAIN (VERBOSE) returns it."""
        if not self._triggered:
            statements = load("explore")
            cursor = await self._connection.execute(statements["roots"].query)
            self._roots = dict(await cursor.fetchall())
            self._guarded = await self._tables(statements["guarded_tables"])
            self._triggered = {
                kind: await self._tables(statements["triggered_tables"], kind=bit)
                for kind, bit in _TRIGGER_KINDS.items()
            }
        nodes = list(_nodes(plan))
        # The plan does not show a lock that a function takes.
        if b"advisory" in query.lower() or not any("Relation Name" in node for node in nodes):
            return UNKNOWN
        return self._combine(nodes)

    def _combine(self, nodes: list[Mapping[str, Any]]) -> Footprint:
        reads: set[str] = set()
        writes: set[str] = set()
        inserts: set[str] = set()
        locking = any(node["Node Type"] == "LockRows" for node in nodes)
        for node in nodes:
            name = f"{node.get('Schema')}.{node.get('Relation Name')}"
            name = self._roots.get(name, name)
            kind = node.get("Operation") if node["Node Type"] == "ModifyTable" else None
            fires = "Merge" if node.get("Conflict Resolution") == "UPDATE" else kind
            if kind is not None:
                (inserts if kind == "Insert" else writes).add(name)
                if kind == "Insert" and name in self._guarded:
                    writes.add(name)
                if name in self._triggered[str(fires)]:
                    writes.add(ANYTHING)
            elif "Relation Name" in node:
                reads.add(name)
                if locking:
                    writes.add(name)
            elif "Function Name" in node and node.get("Schema") not in (None, "pg_catalog"):
                return UNKNOWN
        return Footprint(frozenset(reads), frozenset(writes), frozenset(inserts))

    async def _tables(self, statement: Statement, **parameters: object) -> frozenset[str]:
        cursor = await statement.execute(self._connection, **parameters)
        names = [row[0] for row in await cursor.fetchall()]
        return frozenset(self._roots.get(name, name) for name in names)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
