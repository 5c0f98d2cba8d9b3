"""What the two conditional updates share: to explain why one reserved no tickets."""

from ticketsvc.database.idempotency_keys import Keys
from ticketsvc.database.pool import Connection, Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.errors import EventNotFound, KeyUsed, Refusal, SoldOut
from ticketsvc.purchases import Purchase


class ConditionalUpdate:
    """The base of the mechanisms whose check and decrement are one statement."""

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        self._pool = pool
        self._keys = Keys(schema)
        self._one_pool = load("reading", schema)["one_pool"]

    async def _why_nothing_reserved(self, connection: Connection, purchase: Purchase) -> Refusal:
        """Return `KeyUsed` when the key belongs to a sale, else `EventNotFound` or `SoldOut`."""
        if await self._keys.find(connection, purchase):
            return KeyUsed()
        event = purchase.event_id
        if await (await self._one_pool.execute(connection, event=event)).fetchone() is None:
            return EventNotFound(event)
        return SoldOut()
