"""Run an allocator and give what the database says its name in this package's terms."""

import psycopg

from ticketsvc.allocators.protocol import Allocator
from ticketsvc.errors import OutcomeUnknown, RefusedByDatabase
from ticketsvc.purchases import Purchase, TicketRange


async def sell(allocator: Allocator, purchase: Purchase) -> TicketRange:
    """Allocate *purchase*; a refusal of the database becomes one of `errors`.

    Raise `RefusedByDatabase`, naming the constraint, when one was violated, and
    `OutcomeUnknown` when the connection broke with the purchase under way. Both by class of
    error, never by its text.
    """
    try:
        return await allocator.allocate(purchase)
    except psycopg.IntegrityError as problem:
        constraint = problem.diag.constraint_name or problem.sqlstate
        raise RefusedByDatabase(f"the database refused it: {constraint}") from problem
    except psycopg.OperationalError as problem:
        raise OutcomeUnknown(
            "the connection to the database broke: the purchase may have happened, or not"
        ) from problem
