"""Explain why a conditional update reserved no tickets."""

from ticketsvc.database.idempotency_keys import Keys
from ticketsvc.database.pool import Connection
from ticketsvc.database.statements import Statement
from ticketsvc.errors import EventNotFound, KeyUsed, Refusal, SoldOut
from ticketsvc.purchases import Purchase


async def why_nothing_reserved(
    connection: Connection, one_pool: Statement, keys: Keys, purchase: Purchase
) -> Refusal:
    """Return `KeyUsed` when the key belongs to a sale, else `EventNotFound` or `SoldOut`."""
    if await keys.find(connection, purchase.key):
        return KeyUsed()
    event = purchase.event_id
    if await (await one_pool.execute(connection, event=event)).fetchone() is None:
        return EventNotFound(event)
    return SoldOut()
