"""Sell each purchase once, however often it is asked for, and never to too many at a time."""

import asyncio
import logging
import random
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

import psycopg

from ticketsvc.allocators.protocol import Allocator
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

SECONDS_BETWEEN_FORGETTING = 1800
_log = logging.getLogger("ticketsvc.allocators")


async def sell(allocator: Allocator, purchase: Purchase) -> TicketRange:
    """Allocate *purchase*; raise what the database refuses as one of `errors`."""
    try:
        return await allocator.allocate(purchase)
    except psycopg.Error as problem:
        known = translate_database_error(problem)
        if known is None:
            raise
        raise known from problem


@dataclass(slots=True)
class _UnderWay:
    """A purchase with a key that has no outcome yet, and who asked again meanwhile."""

    purchase: Purchase
    followers: "list[asyncio.Future[TicketRange]]" = field(default_factory=list)

    def tell(self, outcome: TicketRange | BaseException) -> None:
        for follower in self.followers:
            if follower.done():  # it has left
                continue
            if isinstance(outcome, TicketRange):
                follower.set_result(outcome)
            elif isinstance(outcome, Exception):
                follower.set_exception(copy(outcome))
            else:
                follower.set_exception(OutcomeUnknown())


class Seller:
    """An allocator behind a bound and a memory of keys: what the service sells through.

    *most*: how many purchases may be under way at a time; those who wait for another's outcome
    under the same key are not counted. *on_sold* is called with the tickets of each sale, and
    *on_replayed* when somebody is told of one that was made before.
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
        self._allocator = allocator(pool, schema)
        self._pool = pool
        self._most = most
        self._on_sold = on_sold
        self._on_told_again = on_replayed
        self._count = 0
        self._under_way: dict[str, _UnderWay] = {}

    @property
    def in_flight(self) -> int:
        """How many purchases have been accepted and have no outcome yet."""
        return self._count

    async def sell(self, purchase: Purchase) -> TicketRange:
        """Sell to *purchase*, or give what was sold under its key before.

        While a purchase is under way, whoever asks again under its key gets its outcome. In
        other processes the claim in the database decides: the second waits for the first one's
        commit, and is told what that stored.

        A refusal is not stored: asked again, the purchase is judged anew. So a key that was told
        "sold out" can buy what comes free later, and buys once.

        Raise `KeyReused` when the key came with something else, `Overloaded` when too many are
        under way, and what the allocator raises.
        """
        if purchase.key is None:
            return await self._sell_within_bound(purchase)
        first = self._under_way.get(purchase.key)
        if first is not None:
            if first.purchase != purchase:
                raise _reused()
            following: asyncio.Future[TicketRange] = asyncio.get_running_loop().create_future()
            first.followers.append(following)
            tickets = await following
            self._on_told_again()
            return tickets
        first = self._under_way[purchase.key] = _UnderWay(purchase)
        try:
            tickets = await self._sell_once(purchase)
        except BaseException as problem:
            first.tell(problem)
            raise
        else:
            first.tell(tickets)
            return tickets
        finally:
            del self._under_way[purchase.key]

    async def keep_forgetting_keys(self) -> None:
        """Have the database forget keys that are a day old, again and again."""
        while True:
            # Every process does: chance keeps them apart.
            await asyncio.sleep(random.uniform(0, 2) * SECONDS_BETWEEN_FORGETTING)  # noqa: S311
            try:
                async with checkout(self._pool) as connection:
                    while await self._keys.forget_old(connection):
                        pass
            except (TicketsvcError, psycopg.Error) as problem:
                _log.warning("old keys could not be forgotten: %s", type(problem).__name__)

    async def _sell_within_bound(self, purchase: Purchase) -> TicketRange:
        if self._count >= self._most:
            raise Overloaded("too many purchases are under way: try again shortly")
        self._count += 1
        try:
            tickets = await sell(self._allocator, purchase)
        finally:
            self._count -= 1
        self._on_sold(len(tickets))
        return tickets

    async def _sell_once(self, purchase: Purchase) -> TicketRange:
        try:
            return await self._sell_within_bound(purchase)
        except KeyUsed:
            return await self._sold_before(purchase)

    async def _sold_before(self, purchase: Purchase) -> TicketRange:
        try:
            async with checkout(self._pool) as connection:
                stored = await self._keys.find(connection, purchase.key)
        except (Unavailable, psycopg.OperationalError):
            # It was sold to, or another under its key: not to be told that nothing was sold.
            raise OutcomeUnknown from None
        if stored is None:  # forgotten at this very moment
            raise Unavailable("the purchase's key has just expired: try again")
        first, tickets = stored
        if first != purchase:
            raise _reused()
        self._on_told_again()
        return tickets


def _reused() -> TicketsvcError:
    return KeyReused(
        "this Idempotency-Key came before with another userId, eventId or quantity: "
        "use a new one for a new purchase"
    )
