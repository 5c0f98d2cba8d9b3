"""Try a purchase again after a conflict."""

from collections.abc import Awaitable, Callable

from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation

from ticketsvc.database.idempotency_keys import CONSTRAINT
from ticketsvc.purchases import TicketRange

MAX_TRIES = 100


async def retried(attempt: Callable[[], Awaitable[TicketRange]]) -> TicketRange:
    """Call *attempt*, which is one transaction, until it ends without a conflict.

    A conflict rolls back all that the attempt has done, so a retry repeats nothing. Of the
    purchases in a conflict, one succeeds. It is reported with SQLSTATE 40001 or 40P01, or as a
    number that is issued already (23505).

    Raise the last conflict after `MAX_TRIES`.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            return await attempt()
        except (SerializationFailure, DeadlockDetected):
            pass
        except UniqueViolation as problem:
            if problem.diag.constraint_name == CONSTRAINT:  # of the purchase's key
                raise
    return await attempt()
