"""Run an allocator and give what the database says its name in this package's terms."""

import psycopg
from psycopg.errors import DeadlockDetected, ReadOnlySqlTransaction, SerializationFailure

from ticketsvc.allocators.protocol import Allocator
from ticketsvc.errors import (
    DatabaseUnavailable,
    InvalidPurchase,
    OutcomeUnknown,
    RefusedByDatabase,
    Unavailable,
)
from ticketsvc.purchases import Purchase, TicketRange


async def sell(allocator: Allocator, purchase: Purchase) -> TicketRange:
    """Allocate *purchase*; a refusal of the database becomes one of `errors`.

    Raise `RefusedByDatabase`, naming the constraint, when one was violated, `Unavailable` when
    the database rolled it back for another's sake or takes no writes, `InvalidPurchase` when it
    cannot hold the text, and `OutcomeUnknown` when the connection broke with the purchase under
    way. All by class of error, never by its text.
    """
    try:
        return await allocator.allocate(purchase)
    except psycopg.IntegrityError as problem:
        constraint = problem.diag.constraint_name or problem.sqlstate
        raise RefusedByDatabase(f"the database refused it: {constraint}") from problem
    except (SerializationFailure, DeadlockDetected) as problem:
        raise Unavailable("another purchase was in the way: try again") from problem
    except ReadOnlySqlTransaction as problem:
        raise DatabaseUnavailable("the database takes no writes: try again shortly") from problem
    except psycopg.DataError as problem:
        raise InvalidPurchase("the database cannot hold this userId or eventId") from problem
    except psycopg.OperationalError as problem:
        raise OutcomeUnknown(
            "the connection to the database broke: the purchase may have happened, or not"
        ) from problem
