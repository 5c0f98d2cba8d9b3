"""Tell why a conditional update found nothing to update."""

from ticketsvc.database.pool import Connection
from ticketsvc.database.statements import Statement
from ticketsvc.errors import EventNotFound, Refusal, SoldOut


async def why_nothing_reserved(connection: Connection, one_pool: Statement, event: str) -> Refusal:
    """Give `EventNotFound` when there is no pool, else `SoldOut`."""
    if await (await one_pool.execute(connection, event=event)).fetchone() is None:
        return EventNotFound(f"event {event!r} not found")
    return SoldOut("not enough tickets available")
