"""Allocators without one of their guards."""

import contextlib
from functools import partial
from typing import Any

from psycopg import IsolationLevel

from ticketsvc.allocators.protocol import Allocator
from ticketsvc.allocators.retry import retried
from ticketsvc.allocators.serializable import Serializable
from ticketsvc.database.pool import Connection, Pool
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
            if not _replace(self, name, old, new):
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


def _replace(holder: Any, name: str, old: str, new: str) -> bool:
    """Change the statements called *name* of *holder* and its parts; return whether any differs."""
    changed = False
    for attribute, value in list(vars(holder).items()):
        if isinstance(value, Statement) and value.name == name:
            text = value.query.decode()
            changed = changed or old in text
            setattr(holder, attribute, Statement(name, text.replace(old, new).encode()))
        elif type(value).__module__.startswith("ticketsvc.allocators"):
            changed = _replace(value, name, old, new) or changed
    return changed


def without_transaction(base: type[Allocator]) -> type[Allocator]:
    """Return *base* with a commit after each statement, which also ends its locks."""

    class Mutant(base):  # type: ignore[valid-type, misc] # a base that is known at run time
        def __init__(self, pool: Pool, schema: SchemaName) -> None:
            super().__init__(_PoolWithoutTransactions(pool), schema)

    return Mutant


class _PoolWithoutTransactions:
    """Of a pool what an allocator uses; its connections begin no transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def getconn(self) -> "_WithoutTransactions":
        return _WithoutTransactions(await self._pool.getconn())

    async def putconn(self, lent: "_WithoutTransactions") -> None:
        await self._pool.putconn(lent.connection)


class _WithoutTransactions:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.execute = connection.execute

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()


class SerializableWithoutRetry(Serializable):
    """A conflict is reported to the buyer instead of retried."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Allocate as `Serializable` does, without a retry."""
        return await self._at(IsolationLevel.SERIALIZABLE, purchase)


class SerializableAtReadCommitted(Serializable):
    """Retries, at a level that detects no conflict."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Allocate as `Serializable` does, at READ COMMITTED."""
        return await retried(partial(self._at, IsolationLevel.READ_COMMITTED, purchase))
