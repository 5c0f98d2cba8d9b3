"""Check-then-act under SERIALIZABLE, with a retry."""

from typing import ClassVar

from psycopg import IsolationLevel
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.idempotency_keys import CONSTRAINT
from ticketsvc.database.pool import checkout, transaction
from ticketsvc.purchases import Purchase, TicketRange

MAX_TRIES = 100


class Serializable(CheckThenAct):
    """The database detects the conflict, and the purchase is retried."""

    mechanism: ClassVar = Mechanism(
        name="serializable",
        summary="check-then-act under SERIALIZABLE, with a retry on 40001",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        isolation="SERIALIZABLE",
    )

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Run check-then-act in a transaction; retry it after a serialization failure.

        The database commits only what some serial order could have produced. It rolls back the
        rest with SQLSTATE 40001 (or 40P01), so a retry repeats nothing. In each conflict one
        purchase succeeds. Conflicts are detected only between SERIALIZABLE transactions.

        The database reports a conflict as a number that is issued already (23505) where the first
        purchase has not read the page of the index on which the second one finds that number. The
        schema's trigger reads the pages of the ticket before the purchase and of its last ticket.
        So this takes a purchase over more than one page that begins on a new one. It is retried
        too.

        Raise `EventNotFound` or `SoldOut`, and the last conflict after `MAX_TRIES`.

        Writes: one row per ticket and one pool update, in one commit; a failed
        try leaves dead rows.
        """
        for _ in range(MAX_TRIES - 1):
            try:
                return await self._try(purchase)
            except (SerializationFailure, DeadlockDetected):
                pass
            except UniqueViolation as problem:
                if problem.diag.constraint_name == CONSTRAINT:  # of the purchase's key
                    raise
        return await self._try(purchase)

    async def _try(self, purchase: Purchase) -> TicketRange:
        async with (
            checkout(self._pool) as connection,
            transaction(connection, IsolationLevel.SERIALIZABLE),
        ):
            return await self._check_then_act(connection, purchase)
