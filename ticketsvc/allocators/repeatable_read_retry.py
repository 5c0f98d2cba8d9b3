"""Check-then-act under REPEATABLE READ, with a retry."""

from functools import partial

from psycopg import IsolationLevel

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.allocators.retry import retried
from ticketsvc.purchases import Purchase, TicketRange


class RepeatableReadRetry(CheckThenAct):
    """Every purchase of an event updates the same pool row, so the database detects each conflict.

    To update a row that has changed since the snapshot fails with SQLSTATE 40001, and the purchase
    is retried. Where ticket numbers are unique, the conflict shows first as a number that is issued
    already (23505). Safe only because of that row: where two purchases wrote different rows, both
    would commit, which SERIALIZABLE prevents.
    """

    mechanism = Mechanism(
        name="repeatable_read_retry",
        summary="check-then-act under REPEATABLE READ, with a retry on 40001 and 23505",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction at REPEATABLE READ, and a retry",
        isolation="REPEATABLE READ",
    )

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Run check-then-act in a transaction; retry it after a conflict.

        Raise `EventNotFound` or `SoldOut`, and the last conflict after `MAX_TRIES`.

        Writes: one row per ticket and one pool update, in one commit; a failed
        try leaves dead rows.
        """
        return await retried(partial(self._at, IsolationLevel.REPEATABLE_READ, purchase))
