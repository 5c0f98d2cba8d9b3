"""Check-then-act under REPEATABLE READ, without a retry."""

from psycopg import IsolationLevel

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.purchases import Purchase, TicketRange


class RepeatableRead(CheckThenAct):
    """One snapshot for the whole purchase: a rival's commit makes it fail."""

    mechanism = Mechanism(
        name="repeatable_read",
        summary="check-then-act under REPEATABLE READ, no retry: refuses while tickets are left",
        safe=False,
        schemas=("original", "fixed"),
        isolation="REPEATABLE READ",
    )

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Read the stock, decide, insert and subtract in one snapshot.

        Never oversells: to subtract from a pool row that changed since the snapshot fails
        with SQLSTATE 40001. Not safe either: the loser is refused even when tickets are left.

        Raise `EventNotFound`, `SoldOut` by the snapshot, and the database's error 40001.

        Writes: one row per ticket and one pool update, in one commit.
        """
        return await self._at(IsolationLevel.REPEATABLE_READ, purchase)
