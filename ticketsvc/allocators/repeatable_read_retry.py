"""Check-then-act under REPEATABLE READ, with a retry."""

from typing import ClassVar

from psycopg import IsolationLevel

from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.allocators.retry import RetriedCheckThenAct


class RepeatableReadRetry(RetriedCheckThenAct):
    """Every purchase of an event updates the same pool row, so the database detects each conflict.

    To update a row that has changed since the snapshot fails with SQLSTATE 40001, and the purchase
    is retried. Where ticket numbers are unique, the conflict shows first as a number that is issued
    already (23505). Safe only because of that row: where two purchases wrote different rows, both
    would commit, which SERIALIZABLE prevents.
    """

    mechanism: ClassVar = Mechanism(
        name="repeatable_read_retry",
        summary="check-then-act under REPEATABLE READ, with a retry on 40001 and 23505",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction at REPEATABLE READ, and a retry",
        isolation="REPEATABLE READ",
    )
    _level: ClassVar = IsolationLevel.REPEATABLE_READ
