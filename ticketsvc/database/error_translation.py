"""Turn what the database refuses into one of `errors`."""

import logging

import psycopg
from psycopg.errors import (
    DeadlockDetected,
    IdleInTransactionSessionTimeout,
    InsufficientPrivilege,
    ReadOnlySqlTransaction,
    SerializationFailure,
)

from ticketsvc.database import idempotency_keys
from ticketsvc.errors import (
    DatabaseUnavailable,
    InvalidPurchase,
    KeyUsed,
    OutcomeUnknown,
    RefusedByDatabase,
    TicketsvcError,
    Unavailable,
)

_log = logging.getLogger("ticketsvc.allocators")


def translate_database_error(problem: psycopg.Error) -> TicketsvcError | None:  # noqa: PLR0911
    """Return what the database said its name; None for what only a bug of ours can cause.

    `KeyUsed` when the purchase's key was claimed already, `RefusedByDatabase`, naming the
    constraint, when another one was violated, `Unavailable` when
    the database rolled it back for another's sake or takes no writes, `InvalidPurchase` when it
    cannot hold the text, and `OutcomeUnknown` when the connection broke with the purchase under
    way. All by class of error, never by its text.
    """
    match problem:
        case psycopg.errors.UniqueViolation() if (
            problem.diag.constraint_name == idempotency_keys.CONSTRAINT
        ):
            return KeyUsed()
        case psycopg.IntegrityError():
            constraint = problem.diag.constraint_name or problem.sqlstate
            return RefusedByDatabase(f"the database refused it: {constraint}")
        case SerializationFailure() | DeadlockDetected():
            return Unavailable("another purchase was in the way: try again")
        case IdleInTransactionSessionTimeout():
            return Unavailable("the purchase took too long and was rolled back: try again")
        case ReadOnlySqlTransaction():
            return DatabaseUnavailable("the database takes no writes: try again shortly")
        case psycopg.DataError():
            return InvalidPurchase("the database cannot hold this userId or eventId")
        case psycopg.OperationalError():
            return OutcomeUnknown()
        case psycopg.ProgrammingError() | psycopg.InternalError() if problem.sqlstate:
            return schema_mismatch(problem)
    return None


def schema_mismatch(problem: psycopg.Error) -> DatabaseUnavailable:
    """Give, and log, what the database has refused because of its own state.

    A table, a function or a right is not there: renamed, dropped, taken away, or made anew at this
    moment. The statement was rolled back.
    """
    _log.error(
        "the database is not as it should be: %s %s", type(problem).__name__, problem.sqlstate
    )
    if isinstance(problem, InsufficientPrivilege):
        return DatabaseUnavailable("the service's role may not do this here")
    return DatabaseUnavailable("the database is not as it should be: try again later")
