"""Check-then-act under SERIALIZABLE, tried again when it fails."""

import contextlib
from typing import ClassVar

from psycopg import IsolationLevel
from psycopg.errors import DeadlockDetected, SerializationFailure

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool, checkout, transaction
from ticketsvc.database.schemas import SchemaName
from ticketsvc.purchases import Purchase, TicketRange

MAX_TRIES = 100


class Serializable:
    """The database finds the conflict, and the purchase starts anew."""

    mechanism: ClassVar = Mechanism(
        name="serializable",
        summary="check-then-act under SERIALIZABLE, tried again on 40001",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        isolation="SERIALIZABLE",
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        self._pool = pool
        self._steps = CheckThenAct(schema)

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Run check-then-act as if alone; start anew when a rival was in the way.

        The database lets commit only what some serial order could have done; what cannot be
        is rolled back with SQLSTATE 40001 (or 40P01), so trying again repeats nothing. A
        conflict means that a rival got on, so some purchase always does. Sees conflicts only
        with sellers at the same level.

        Raise `EventNotFound` or `SoldOut`, and the last conflict after `MAX_TRIES`.

        Writes: one row per ticket and one pool update, in one commit; of tries that fail, what
        was written until then, as dead rows.
        """
        for _ in range(MAX_TRIES - 1):
            with contextlib.suppress(SerializationFailure, DeadlockDetected):
                return await self._try(purchase)
        return await self._try(purchase)

    async def _try(self, purchase: Purchase) -> TicketRange:
        async with (
            checkout(self._pool) as connection,
            transaction(connection, IsolationLevel.SERIALIZABLE),
        ):
            return await self._steps.purchase(connection, purchase)
