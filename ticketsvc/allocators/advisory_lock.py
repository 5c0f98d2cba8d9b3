"""Take an advisory lock on the event, then read, decide and write."""

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.purchases import Purchase, TicketRange


class AdvisoryLock(CheckThenAct):
    """One advisory lock per event: rivals wait before they read a row."""

    mechanism = Mechanism(
        name="advisory_lock",
        summary="an advisory lock per event, then check-then-act",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction, and an advisory lock before its read",
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        super().__init__(pool, schema)
        self._take_lock = load("advisory_lock", schema)["take_lock"]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Take the event's lock, read the stock, decide, insert the tickets, subtract.

        The lock is held until the commit, and under READ COMMITTED the read after it takes a
        new snapshot: a rival sees what was sold before. Safe only while every code path that
        sells takes this lock.

        Raise `EventNotFound` or `SoldOut`.

        Writes: one row per ticket and one pool update, in one commit.
        """
        async with checkout(self._pool) as connection, connection.transaction():
            await self._take_lock.execute(connection, event=purchase.event_id)
            return await self._check_then_act(connection, purchase)
