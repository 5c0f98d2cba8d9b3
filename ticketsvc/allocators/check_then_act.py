"""The statements that several mechanisms share: read, decide, write.

What surrounds them makes them safe or not: nothing, a transaction, a lock taken first, or an
isolation level with a retry. Each of these is a file of its own.
"""

from typing import Any

from psycopg import IsolationLevel

from ticketsvc.database.idempotency_keys import Keys
from ticketsvc.database.pool import Connection, Pool, checkout, transaction
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import Statement, load
from ticketsvc.errors import EventNotFound, KeyUsed, SoldOut
from ticketsvc.purchases import Purchase, TicketRange


def decide(stock: Any, purchase: Purchase) -> TicketRange:
    """Return the next numbers after those that *stock*, a pool row or None, says are sold.

    Raise `EventNotFound`, or `SoldOut` by the stock that was read, stale or not.
    """
    if stock is None:
        raise EventNotFound(purchase.event_id)
    if stock.available < purchase.quantity:
        raise SoldOut()
    first = stock.total - stock.available + 1
    return TicketRange(first, first + purchase.quantity - 1)


class CheckThenAct:
    """Read the stock, decide, insert all tickets in one statement, subtract.

    The base of the mechanisms that differ in what surrounds these statements.
    """

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        naive = load("naive", schema)
        self._pool = pool
        self._read_pool = naive["read_pool"]
        self._insert_tickets = load("ticket_rows", schema)["insert_tickets"]
        self._decrement = naive["decrement" if schema == "original" else "decrement_in_step"]
        self._keys = Keys(schema)

    async def _check_then_act(
        self, connection: Connection, purchase: Purchase, read: Statement | None = None
    ) -> TicketRange:
        """Run the statements on *connection*, in its current transaction if there is one.

        *read* replaces the statement that reads the stock. Raise as `decide` does, and `KeyUsed`.

        Writes: one row per ticket, one pool update, and a key if there is one.
        """
        event = purchase.event_id
        cursor = await (read or self._read_pool).execute(connection, event=event)
        stock = await cursor.fetchone()
        if await self._keys.find(connection, purchase):
            raise KeyUsed()
        tickets = decide(stock, purchase)
        await self._insert(connection, purchase, tickets)
        await self._decrement.execute(connection, event=event, quantity=purchase.quantity)
        await self._keys.claim(connection, purchase, tickets)
        return tickets

    async def _at(self, level: IsolationLevel, purchase: Purchase) -> TicketRange:
        """Run the statements in a transaction of their own at *level*."""
        async with checkout(self._pool) as connection, transaction(connection, level):
            return await self._check_then_act(connection, purchase)

    async def _insert(
        self, connection: Connection, purchase: Purchase, tickets: TicketRange
    ) -> None:
        await self._insert_tickets.execute(
            connection,
            event=purchase.event_id,
            user=purchase.user_id,
            first=tickets.first,
            last=tickets.last,
        )
