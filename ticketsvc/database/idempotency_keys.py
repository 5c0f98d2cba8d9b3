"""Idempotency keys: claimed in the transaction that sells, looked up by a repeated request."""

from ticketsvc.database.pool import Connection
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.purchases import Purchase, TicketRange

CONSTRAINT = "idempotency_keys_pkey"
"""The constraint that refuses a second claim of a key: see `translate_database_error`."""


class Keys:
    """The keys of one schema, with the tickets sold under each."""

    def __init__(self, schema: SchemaName) -> None:
        self.kept = schema == "fixed"
        self._statements = load("idempotency_keys", schema)

    async def claim(self, connection: Connection, purchase: Purchase, tickets: TicketRange) -> None:
        """Store *tickets* under the purchase's key, if it has one, in the current transaction.

        The key is unique: a second claim waits for the first one's commit, then fails, and its
        transaction is rolled back.
        """
        if purchase.key is not None and self.kept:
            await self._statements["claim"].execute(
                connection,
                key=purchase.key,
                event=purchase.event_id,
                user=purchase.user_id,
                quantity=purchase.quantity,
                first=tickets.first,
            )

    async def remove_old(self, connection: Connection) -> int:
        """Remove some keys that are more than a day old; return how many, 0 when none is left."""
        row = await (await self._statements["remove_old"].execute(connection)).fetchone()
        return int(row.removed) if row else 0

    async def find(
        self, connection: Connection, asked: Purchase
    ) -> tuple[Purchase, TicketRange] | None:
        """Return the purchase that has the key of *asked*, and its tickets; None if nobody has."""
        if asked.key is None or not self.kept:
            return None
        found = await self._statements["find"].execute(
            connection, key=asked.key, event=asked.event_id
        )
        row = await found.fetchone()
        if row is None:
            return None
        sold = Purchase(row.user_id, row.event_id, row.quantity, asked.key)
        return sold, TicketRange(row.first_ticket, row.first_ticket + row.quantity - 1)

    async def confirm(self, connection: Connection) -> None:
        """Wait until the synchronous standby, if there is one, has what `find` has returned.

        A sale whose wait for the standby was cancelled can be read, and a failover may lose it.
        """
        await self._statements["confirm"].execute(connection)
