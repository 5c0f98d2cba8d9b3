"""Ask the server what a statement touches: its plan, and the constraints of what it writes."""

from collections.abc import Iterator, Mapping
from typing import Any

from psycopg import AsyncConnection

from ticketsvc.lab.explore.effects import ANYTHING, NOTHING, Footprint

_UNKNOWN = Footprint(reads=frozenset({ANYTHING}), writes=frozenset({ANYTHING}))

# Where two inserts can be in each other's way: a unique or exclusion index, unless a sequence
# feeds it, which never gives the same number twice.
_GUARDED = """
SELECT DISTINCT nspname || '.' || relname FROM pg_index
JOIN pg_class ON pg_class.oid = indrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE (indisunique OR indisexclusion) AND NOT EXISTS (
    SELECT FROM pg_attrdef WHERE adrelid = indrelid AND adnum = ANY (indkey)
    AND starts_with(pg_get_expr(adbin, adrelid), 'nextval(')
)
"""
# A trigger of ours or of a foreign key may look at, and lock, whatever it likes.
_TRIGGERED = """
SELECT DISTINCT nspname || '.' || relname FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE tgtype & %(when)s > 0
"""
_WHEN = {"Insert": 4, "Delete": 8, "Update": 16}


class Footprints:
    """What the statements of one database touch, each asked for once."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._known: dict[bytes, Footprint] = {}
        self._guarded: frozenset[str] = NOTHING
        self._triggered: Mapping[str, frozenset[str]] = {}  # by what fires them

    async def of(self, query: bytes, parameters: Any) -> Footprint:
        """Return the footprint of *query*; of one whose plan names no relation: anything."""
        if query not in self._known:
            self._known[query] = await self._ask(query, parameters)
        return self._known[query]

    async def _ask(self, query: bytes, parameters: Any) -> Footprint:
        if not self._triggered:
            self._guarded = await self._names(_GUARDED, {})
            self._triggered = {
                kind: await self._names(_TRIGGERED, {"when": bit}) for kind, bit in _WHEN.items()
            }
        cursor = await self._connection.execute(
            b"EXPLAIN (VERBOSE, FORMAT JSON) " + query, parameters
        )
        row = await cursor.fetchone()
        nodes = list(_nodes(row[0][0]["Plan"])) if row else []
        # A lock that is taken by a function shows in no node of the plan.
        if b"advisory" in query or not any("Relation Name" in node for node in nodes):
            return _UNKNOWN
        return self._combine(nodes)

    def _combine(self, nodes: list[Mapping[str, Any]]) -> Footprint:
        reads: set[str] = set()
        writes: set[str] = set()
        inserts: set[str] = set()
        locking = any(node["Node Type"] == "LockRows" for node in nodes)
        for node in nodes:
            name = f"{node.get('Schema')}.{node.get('Relation Name')}"
            kind = node.get("Operation") if node["Node Type"] == "ModifyTable" else None
            if kind is not None:
                (inserts if kind == "Insert" else writes).add(name)
                if kind == "Insert" and name in self._guarded:
                    writes.add(name)
                if name in self._triggered.get(kind, NOTHING):
                    writes.add(ANYTHING)
            elif "Relation Name" in node:
                reads.add(name)
                if locking:
                    writes.add(name)
            elif "Function Name" in node and node.get("Schema") not in (None, "pg_catalog"):
                return _UNKNOWN
        return Footprint(frozenset(reads), frozenset(writes), frozenset(inserts))

    async def _names(self, query: str, parameters: Mapping[str, object]) -> frozenset[str]:
        cursor = await self._connection.execute(query.encode(), parameters)
        return frozenset(row[0] for row in await cursor.fetchall())


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
