"""Sell each purchase once, however often it is requested, within a bound on those in flight."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ticketsvc.allocators.protocol import Allocator
from ticketsvc.allocators.registry import naming_faults
from ticketsvc.database.error_translation import translate_database_error
from ticketsvc.database.idempotency_keys import Keys
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.database.schemas import SchemaName
from ticketsvc.errors import (
    KeyReused,
    KeyUsed,
    OutcomeUnknown,
    Overloaded,
    TicketsvcError,
    Unavailable,
)
from ticketsvc.purchases import Purchase, TicketRange

SECONDS_BETWEEN_EXPIRY = 1800
_CANCELLED = OutcomeUnknown()
_log = logging.getLogger("ticketsvc.allocators")


async def sell(allocator: Allocator, purchase: Purchase) -> TicketRange:
    """Allocate *purchase*; raise errors of the database as errors of this package.

    Raise `TypeError` for an answer that is not the tickets asked for: what was sold is not known.
    """
    try:
        tickets = await allocator.allocate(purchase)
    except psycopg.Error as problem:
        known = translate_database_error(problem)
        if known is None:
            raise
        raise known from problem
    if (
        not isinstance(tickets, TicketRange)
        or tickets.last - tickets.first + 1 != purchase.quantity
    ):
        name = allocator.mechanism.name
        raise TypeError(f"{name} returned {tickets!r} for a purchase of {purchase.quantity}")
    return tickets


@dataclass(slots=True)
class _InFlight:
    """A purchase with a key that is in flight, and its outcome, for requests that repeat it."""

    purchase: Purchase
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: TicketRange | Exception = _CANCELLED


class Seller:
    """An allocator with a bound on the purchases in flight, and with idempotency keys.

    *most*: how many purchases may be in flight; requests that wait for another's outcome under
    the same key do not count. *on_sold* is called with the number of tickets of each sale, and
    *on_replayed* when a request is answered with an earlier sale.
    """

    def __init__(
        self,
        allocator: type[Allocator],
        pool: Pool,
        schema: SchemaName,
        most: int,
        *,
        on_sold: Callable[[int], object] = lambda _: None,
        on_replayed: Callable[[], object] = lambda: None,
    ) -> None:
        self._keys = Keys(schema)
        self.takes_keys = allocator.mechanism.claims_keys and self._keys.kept
        with naming_faults(allocator):
            self._allocator: Allocator = allocator(pool, schema)
        self._pool = pool
        self._most = most
        self._on_sold = on_sold
        self._on_replayed = on_replayed
        self.in_flight = 0  # purchases that have no outcome yet
        self._keyed: dict[str, _InFlight] = {}

    def sell(self, purchase: Purchase) -> Coroutine[Any, Any, TicketRange]:
        """Sell *purchase*, or return the tickets that were sold under its key before.

        While a purchase is in flight, a second request with its key waits for its outcome. When
        the first request is in another process, the claim in the database decides: the second
        waits for the first one's commit, and returns what that stored.

        A refusal is not stored: a repeated request is judged again. So a key that was refused
        with "sold out" can buy when tickets come free, and buys once.

        Raise `KeyReused` when the key belongs to a different purchase, `Overloaded` when too many
        are in flight, and what the allocator raises.
        """
        if purchase.key is None:
            return self._sell_within_bound(purchase)
        return self._sell_under_key(purchase, purchase.key)

    async def _sell_under_key(self, purchase: Purchase, key: str) -> TicketRange:
        first = self._keyed.get(key)
        if first is not None:
            if first.purchase != purchase:
                raise KeyReused
            await first.ended.wait()
            if isinstance(first.outcome, Exception):
                raise copy(first.outcome)
            self._on_replayed()
            return first.outcome
        first = self._keyed[key] = _InFlight(purchase)
        try:
            first.outcome = await self._sell_once(purchase)
            return first.outcome
        except Exception as problem:
            first.outcome = copy(problem)
            raise
        finally:
            first.ended.set()
            del self._keyed[key]

    async def expire_keys(self) -> None:
        """Remove keys that are more than a day old, again and again."""
        while True:
            # Every process does this: a random delay spreads them.
            await asyncio.sleep(random.uniform(0, 2) * SECONDS_BETWEEN_EXPIRY)  # noqa: S311
            try:
                async with checkout(self._pool) as connection:
                    while await self._keys.remove_old(connection):
                        pass
            except (TicketsvcError, psycopg.Error) as problem:
                _log.warning("old keys could not be removed: %s", type(problem).__name__)

    async def _sell_within_bound(self, purchase: Purchase) -> TicketRange:
        if self.in_flight >= self._most:
            raise Overloaded("too many purchases are in flight: try again shortly")
        self.in_flight += 1
        try:
            tickets = await sell(self._allocator, purchase)
        finally:
            self.in_flight -= 1
        self._on_sold(purchase.quantity)
        return tickets

    async def _sell_once(self, purchase: Purchase) -> TicketRange:
        try:
            return await self._sell_within_bound(purchase)
        except KeyUsed:
            return await self._sold_before(purchase)

    async def _sold_before(self, purchase: Purchase) -> TicketRange:
        try:
            async with checkout(self._pool) as connection:
                stored = await self._keys.find(connection, purchase)
                await self._keys.confirm(connection)
        except (Unavailable, psycopg.Error):
            # Tickets were sold under the key, so "nothing was sold" would be wrong.
            raise OutcomeUnknown from None
        if stored is None:  # removed at this moment
            raise Unavailable("the purchase's key has just expired: try again")
        first, tickets = stored
        if first != purchase:
            raise KeyReused
        self._on_replayed()
        return tickets
