"""Check-then-act in a transaction: the usual first attempt at a fix."""

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import checkout
from ticketsvc.purchases import Purchase, TicketRange


class Transaction(CheckThenAct):
    """The statements of check-then-act between BEGIN and COMMIT."""

    mechanism = Mechanism(
        name="transaction",
        summary="check-then-act in a READ COMMITTED transaction: still oversells",
        safe=False,
        schemas=("original", "fixed"),
    )

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Read the stock, decide, insert the tickets, subtract: all or nothing.

        Not safe: a transaction makes the writes atomic, not the decision. Under READ
        COMMITTED the read locks nothing, so a rival decides on the same stock.

        Raise `EventNotFound`, or `SoldOut` by the stock that was read, stale or not.

        Writes: one row per ticket and one pool update, in one commit.
        """
        async with checkout(self._pool) as connection, connection.transaction():
            return await self._check_then_act(connection, purchase)
