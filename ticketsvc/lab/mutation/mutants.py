"""Allocators without one of their guards."""

from collections.abc import Callable
from typing import Any, ClassVar

from psycopg import IsolationLevel

from ticketsvc.allocators.advisory_lock import AdvisoryLock
from ticketsvc.allocators.protocol import Allocator
from ticketsvc.allocators.row_lock import RowLock
from ticketsvc.allocators.serializable import Serializable
from ticketsvc.allocators.ticket_rows import TicketRows
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName, ddl
from ticketsvc.database.statements import Statement
from ticketsvc.purchases import Purchase, TicketRange


def with_statement(base: type[Allocator], name: str, old: str, new: str) -> type[Allocator]:
    """Return *base* with *old* replaced by *new* in its statement *name*.

    Raise `ValueError` when there is no such statement or text, because a mutant must differ.
    """

    class Mutant(base):  # type: ignore[valid-type, misc] # a base that is known at run time
        def __init__(self, pool: Pool, schema: SchemaName) -> None:
            super().__init__(pool, schema)
            if not _replace(self, name, lambda text: text.replace(old, new)):
                raise ValueError(f"{base.mechanism.name} has no {old!r} in a statement {name}")

    return Mutant


def with_reserve(old: str, new: str) -> str:
    """Return the DDL of the fixed schema's `reserve` with *old* replaced by *new*.

    Raise `ValueError` when it has no such text, because a mutant must differ.
    """
    text = ddl("fixed")
    begin = text.index("CREATE FUNCTION fixed.reserve(")
    function = text[begin : text.index("END $$;", begin)]
    if old not in function:
        raise ValueError(f"reserve has no {old!r}")
    changed = function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    return changed.replace(old, new) + "END $$"


def _replace(holder: Any, name: str, change: Callable[[str], str]) -> bool:
    """Change the statements called *name* of *holder* and its parts; return whether any differs."""
    changed = False
    for attribute, value in list(vars(holder).items()):
        if isinstance(value, Statement) and value.name == name:
            text = value.query.decode()
            changed = changed or change(text) != text
            setattr(holder, attribute, Statement(name, change(text).encode()))
        elif type(value).__module__.startswith("ticketsvc.allocators"):
            changed = _replace(value, name, change) or changed
    return changed


class RowLockWithoutTransaction(RowLock):
    """The lock is released at the end of the statement that takes it."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Allocate as `RowLock` does, with a commit after each statement."""
        async with checkout(self._pool) as connection:
            return await self._check_then_act(connection, purchase, self._lock_pool)


class AdvisoryLockWithoutTransaction(AdvisoryLock):
    """The advisory lock is released at the end of the statement that takes it."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Allocate as `AdvisoryLock` does, with a commit after each statement."""
        async with checkout(self._pool) as connection:
            await self._take_lock.execute(connection, event=purchase.event_id)
            return await self._check_then_act(connection, purchase)


class TicketRowsWithoutTransaction(TicketRows):
    """The pool's update is committed before the tickets are written."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Allocate as `TicketRows` does, with a commit after each statement."""
        event = purchase.event_id
        async with checkout(self._pool) as connection:
            reserved = await (
                await self._reserve.execute(connection, event=event, quantity=purchase.quantity)
            ).fetchone()
            if reserved is None:
                raise await self._why_nothing_reserved(connection, purchase)
            await self._insert_tickets.execute(
                connection,
                event=event,
                user=purchase.user_id,
                first=reserved.first,
                last=reserved.last,
            )
        return TicketRange(reserved.first, reserved.last)


class SerializableWithoutRetry(Serializable):
    """A conflict is reported to the buyer instead of retried."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Allocate as `Serializable` does, without a retry."""
        return await self._try(purchase)


class SerializableAtReadCommitted(Serializable):
    """Retries, at a level that detects no conflict."""

    _level: ClassVar = IsolationLevel.READ_COMMITTED
