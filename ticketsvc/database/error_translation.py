"""Translate errors of the database into errors of this package."""

import logging

import psycopg
from psycopg.errors import (
    DeadlockDetected,
    IdleInTransactionSessionTimeout,
    InsufficientPrivilege,
    InternalError_,
    ReadOnlySqlTransaction,
    SerializationFailure,
    UniqueViolation,
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
    """Return the error to raise instead of *problem*; None when only a bug can have caused it.

    `KeyUsed` when the purchase's key was claimed, `RefusedByDatabase`, which names the
    constraint, when another one was violated, `Unavailable` when the database rolled the purchase
    back for a rival or takes no writes, `InvalidPurchase` when it cannot store the text, and
    `OutcomeUnknown` when the connection broke after the purchase was sent. The class of the error
    and its constraint decide.
    """
    match problem:
        case UniqueViolation() | InternalError_() if (
            # A Citus coordinator leaves out the constraint's name, and after a COPY also the class.
            # The message quotes the name, with the number of a shard behind it.
            idempotency_keys.CONSTRAINT
            in (problem.diag.constraint_name or problem.diag.message_primary or "")
        ):
            return KeyUsed()
        case psycopg.IntegrityError():
            constraint = problem.diag.constraint_name or problem.sqlstate
            return RefusedByDatabase(f"the database refused it: {constraint}")
        case SerializationFailure() | DeadlockDetected():
            return Unavailable("the purchase conflicted with another: try again")
        case IdleInTransactionSessionTimeout():
            return Unavailable("the purchase took too long and was rolled back: try again")
        case ReadOnlySqlTransaction():
            return DatabaseUnavailable("the database takes no writes: try again shortly")
        case psycopg.DataError():
            return InvalidPurchase("the database cannot hold this userId or eventId")
        case psycopg.OperationalError() | InternalError_():
            return OutcomeUnknown()  # InternalError_: a Citus coordinator that lost its worker
        case psycopg.ProgrammingError() | psycopg.InternalError() if problem.sqlstate:
            return schema_mismatch(problem)
    return None


def schema_mismatch(problem: psycopg.Error) -> DatabaseUnavailable:
    """Log a schema mismatch, and return the error to raise for it.

    A table, a function or a privilege is missing: renamed, dropped, revoked, or just being
    replaced. The statement was rolled back.
    """
    _log.error("schema mismatch: %s %s", type(problem).__name__, problem.sqlstate)
    if isinstance(problem, InsufficientPrivilege):
        return DatabaseUnavailable("the service's role lacks a privilege in the database")
    return DatabaseUnavailable("the database's schema does not match: try again later")
