"""The original allocator: read, decide, write, and nothing makes them atomic."""

from ticketsvc.allocators.check_then_act import CheckThenAct, decide
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.purchases import Purchase, TicketRange


class Naive(CheckThenAct):
    """Check-then-act: several statements, each its own checkout and its own commit."""

    mechanism = Mechanism(
        name="naive",
        summary="the original check-then-act: oversells and issues numbers twice",
        safe=False,
        schemas=("original", "fixed"),
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        super().__init__(pool, schema)
        self._insert_ticket = load("naive", schema)["insert_ticket"]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Read the stock, decide, insert ticket by ticket, subtract at the end.

        Not safe: between the read and the subtraction any number of rivals read the same
        stock, decide alike and issue the same numbers. The connection goes back to the
        connection pool after each statement, as in the original; purchases that keep one would
        overlap less.

        Raise `EventNotFound`, or `SoldOut` by the stock that was read, stale or not.

        Writes: one row and one commit per ticket, then one pool update and commit.
        """
        event = purchase.event_id
        async with checkout(self._pool) as connection:
            stock = await (await self._read_pool.execute(connection, event=event)).fetchone()
        tickets = decide(stock, purchase)
        for number in tickets.numbers():
            async with checkout(self._pool) as connection:
                await self._insert_ticket.execute(
                    connection, event=event, user=purchase.user_id, number=number
                )
        async with checkout(self._pool) as connection:
            await self._decrement.execute(connection, event=event, quantity=purchase.quantity)
        return tickets
