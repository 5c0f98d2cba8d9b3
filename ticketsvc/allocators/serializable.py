"""Check-then-act under SERIALIZABLE, with a retry."""

from functools import partial

from psycopg import IsolationLevel

from ticketsvc.allocators.check_then_act import CheckThenAct
from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.allocators.retry import retried
from ticketsvc.purchases import Purchase, TicketRange


class Serializable(CheckThenAct):
    """The database detects the conflict, and the purchase is retried.

    It commits only what some serial order of SERIALIZABLE transactions could have produced.

    It reports a conflict as a number that is issued already (23505) where the first purchase has
    not read the page of the index on which the second one finds that number. The schema's trigger
    reads the pages of the ticket before the purchase and of its last ticket. So this takes a
    purchase over more than one page that begins on a new one.
    """

    mechanism = Mechanism(
        name="serializable",
        summary="check-then-act under SERIALIZABLE, with a retry on 40001 and 23505",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction at SERIALIZABLE, and a retry",
        isolation="SERIALIZABLE",
    )

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Run check-then-act in a transaction; retry it after a conflict.

        Raise `EventNotFound` or `SoldOut`, and the last conflict after `MAX_TRIES`.

        Writes: one row per ticket and one pool update, in one commit; a failed
        try leaves dead rows.
        """
        return await retried(partial(self._at, IsolationLevel.SERIALIZABLE, purchase))
