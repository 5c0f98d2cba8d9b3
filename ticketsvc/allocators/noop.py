"""The upper bound for measurements: the request path without a database."""

from ticketsvc.allocators.protocol import Mechanism
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.purchases import Purchase, TicketRange


class NoOp:
    """Answer every purchase with the same numbers. Not in the registry: it sells nothing."""

    mechanism = Mechanism(
        name="noop",
        summary="answers every purchase at once with the same numbers, and sells nothing",
        safe=False,
        schemas=("fixed", "original"),
    )

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        pass

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Return numbers 1 to *purchase.quantity*, whatever the event.

        Not safe: every buyer gets the same numbers, and no ticket is issued.

        Writes: nothing.
        """
        return TicketRange(1, purchase.quantity)
