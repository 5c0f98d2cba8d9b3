"""Check-then-act that is tried again after a conflict."""

from typing import ClassVar

from psycopg import IsolationLevel
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.database.idempotency_keys import CONSTRAINT
from ticketsvc.database.pool import checkout, transaction
from ticketsvc.purchases import Purchase, TicketRange

MAX_TRIES = 100


class RetriedCheckThenAct(CheckThenAct):
    """Check-then-act in a transaction at a level that detects the conflict, and tried again."""

    _level: ClassVar[IsolationLevel]

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Run check-then-act in a transaction; retry it after a conflict.

        A conflict rolls back all that the try has done, so a retry repeats nothing. Of the
        purchases in a conflict, one succeeds. It is reported with SQLSTATE 40001 or 40P01, or as a
        number that is issued already (23505).

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
            transaction(connection, self._level),
        ):
            return await self._check_then_act(connection, purchase)
