"""Conditional update, then one row per ticket in one statement."""

from ticketsvc.allocators.conditional_update import ConditionalUpdate
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.purchases import Purchase, TicketRange


class TicketRows(ConditionalUpdate):
    """Two statements in one transaction: reserve in the pool, insert every ticket."""

    mechanism = Mechanism(
        name="ticket_rows",
        summary="conditional update, one row per ticket in one insert",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction, and a conditional UPDATE for its read and its subtraction",
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        super().__init__(pool, schema)
        statements = load("ticket_rows", schema)
        self._reserve = statements["reserve" if schema == "original" else "reserve_in_step"]
        self._insert_tickets = statements["insert_tickets"]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Reserve the next numbers with a conditional UPDATE, then insert a row for each.

        The check and the decrement are one statement: a rival blocks on the pool row until
        this transaction ends, then tests its condition against the committed value.

        Raise `SoldOut` when the pool is short, `EventNotFound` when there is none, and `KeyUsed`.

        Writes: one pool update, one row per ticket, and a key if there is one, in one commit.
        """
        event = purchase.event_id
        async with checkout(self._pool) as connection, connection.transaction():
            reserved = await (
                await self._reserve.execute(connection, event=event, quantity=purchase.quantity)
            ).fetchone()
            if reserved is None:
                raise await self._why_nothing_reserved(connection, purchase)
            tickets = TicketRange(reserved.first, reserved.first + purchase.quantity - 1)
            await self._insert_tickets.execute(
                connection,
                event=event,
                user=purchase.user_id,
                first=tickets.first,
                last=tickets.last,
            )
            await self._keys.claim(connection, purchase, tickets)
        return tickets
