"""Conditional update and one row for the whole range, in one statement."""

from ticketsvc.allocators.conditional_update import ConditionalUpdate
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.purchases import Purchase, TicketRange


class Range(ConditionalUpdate):
    """One statement: reserve in the pool and record the range of numbers."""

    mechanism = Mechanism(
        name="range",
        summary="conditional update and one row per purchase, in one statement",
        safe=True,
        schemas=("fixed",),
        claims_keys=True,
        change="the schema too: one row per purchase",
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        super().__init__(pool, schema)
        statements = load("range", schema)
        self._reserve_range = statements["reserve_range"]
        self._reserve_range_once = statements["reserve_range_once"]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Reserve the next numbers with a conditional UPDATE and record them as one range.

        The check and the decrement are one statement: a rival blocks on the pool row and
        tests its condition against the committed value.

        Raise `SoldOut` when the pool is short, `EventNotFound` when there is none, and `KeyUsed`.

        Writes: one pool update and one allocation row, whatever the quantity, and a key if
        there is one, in one commit.
        """
        asked = {
            "event": purchase.event_id,
            "user": purchase.user_id,
            "quantity": purchase.quantity,
        }
        async with checkout(self._pool) as connection:
            if purchase.key is None:
                cursor = await self._reserve_range.execute(connection, **asked)
            else:
                cursor = await self._reserve_range_once.execute(
                    connection, **asked, key=purchase.key
                )
            reserved = await cursor.fetchone()
            if reserved is None:
                raise await self._why_nothing_reserved(connection, purchase)
        return TicketRange(reserved.first, reserved.last)
