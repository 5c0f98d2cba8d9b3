"""Lock the pool row, then read, decide and write."""

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.purchases import Purchase, TicketRange


class RowLock(CheckThenAct):
    """SELECT … FOR UPDATE: rivals wait before they read."""

    mechanism = Mechanism(
        name="row_lock",
        summary="the pool row locked by SELECT … FOR UPDATE, then check-then-act",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction, and FOR UPDATE in its read",
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        super().__init__(pool, schema)
        self._lock_pool = load("row_lock", schema)["lock_pool"]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Read the stock with its row locked, decide, insert the tickets, subtract.

        The stock stays as it was read until the commit: a rival waits at its own read, then
        gets the committed row.

        Raise `EventNotFound` or `SoldOut`.

        Writes: one row per ticket and one pool update, in one commit, and a lock in the pool
        row.
        """
        async with checkout(self._pool) as connection, connection.transaction():
            return await self._check_then_act(connection, purchase, self._lock_pool)
