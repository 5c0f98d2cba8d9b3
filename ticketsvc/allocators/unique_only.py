"""A unique number as the only guard: the usual second attempt at a fix."""

from psycopg.errors import UniqueViolation

from ticketsvc.allocators.check_then_act import CheckThenAct, decide
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.allocators.retry import MAX_TRIES
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load, source
from ticketsvc.purchases import Purchase, TicketRange


class UniqueOnly(CheckThenAct):
    """Take the next free number; on a unique violation, the next one after that."""

    mechanism = Mechanism(
        name="unique_only",
        summary="UNIQUE (event, number), next number on conflict: no duplicates, still oversells",
        safe=False,
        schemas=("original",),
        constraint=source("unique_only")["unique_number"],
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        super().__init__(pool, schema)
        self._last_number = load("unique_only", schema)["last_number"]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Read the stock, decide, insert from the first free number on, subtract.

        Not safe: the constraint makes numbers unique and does not limit how many there are. A
        purchase that decided on a stale stock gets numbers beyond the total.

        Raise `EventNotFound`, `SoldOut` by the stock that was read, and the last unique
        violation after `MAX_TRIES`.

        Writes: one row per ticket in one commit, then one pool update and commit.
        """
        async with checkout(self._pool) as connection:
            event = purchase.event_id
            read = await self._read_pool.execute(connection, event=event)
            decide(await read.fetchone(), purchase)
            for tries_left in reversed(range(MAX_TRIES)):
                highest = await self._last_number.execute(connection, event=event)
                (last,) = (await highest.fetchone()) or (0,)
                tickets = TicketRange(last + 1, last + purchase.quantity)
                try:
                    await self._insert(connection, purchase, tickets)
                    break
                except UniqueViolation:
                    if not tries_left:
                        raise
            await self._decrement.execute(connection, event=event, quantity=purchase.quantity)
            return tickets
