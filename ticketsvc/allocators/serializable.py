"""Check-then-act under SERIALIZABLE, with a retry."""

from typing import ClassVar

from psycopg import IsolationLevel

from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.allocators.retry import RetriedCheckThenAct


class Serializable(RetriedCheckThenAct):
    """The database detects the conflict, and the purchase is retried.

    It commits only what some serial order of SERIALIZABLE transactions could have produced.

    It reports a conflict as a number that is issued already (23505) where the first purchase has
    not read the page of the index on which the second one finds that number. The schema's trigger
    reads the pages of the ticket before the purchase and of its last ticket. So this takes a
    purchase over more than one page that begins on a new one.
    """

    mechanism: ClassVar = Mechanism(
        name="serializable",
        summary="check-then-act under SERIALIZABLE, with a retry on 40001 and 23505",
        safe=True,
        schemas=("fixed", "original"),
        claims_keys=True,
        change="one transaction at SERIALIZABLE, and a retry",
        isolation="SERIALIZABLE",
    )
    _level: ClassVar = IsolationLevel.SERIALIZABLE
