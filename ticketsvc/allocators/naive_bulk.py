"""Check-then-act in three statements: the smallest form of the bug."""

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import checkout
from ticketsvc.purchases import Purchase, TicketRange


class NaiveBulk(CheckThenAct):
    """Naive, with all tickets in one insert."""

    mechanism = Mechanism(
        name="naive_bulk",
        summary="check-then-act in three statements: oversells and issues numbers twice",
        safe=False,
        schemas=("original", "fixed"),
    )

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Read the stock, decide, insert the tickets, subtract: each a commit of its own.

        Not safe: the same gap as in naive, between the read and the subtraction, in a form
        small enough to try every interleaving of three purchases.

        Raise `EventNotFound`, or `SoldOut` by the stock that was read, stale or not.

        Writes: one row per ticket in one commit, then one pool update and commit.
        """
        async with checkout(self._pool) as connection:
            return await self._check_then_act(connection, purchase)
