"""What every allocator is: one purchase in, consecutive numbers or a named refusal out."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.purchases import Purchase, TicketRange


@dataclass(frozen=True)
class Mechanism:
    """What an allocator is called and what can be said of it in one line."""

    name: str
    summary: str
    safe: bool
    """Whether it may sell real tickets: whatever runs beside it, it never oversells, never
    issues a number twice, and turns nobody away while enough tickets are left."""

    schemas: tuple[SchemaName, ...]
    """Where it can work; the first is where it belongs."""

    claims_keys: bool = False
    """Whether it stores a purchase's key with the tickets, on `fixed`; the others get none."""

    isolation: str = "READ COMMITTED"
    """The level its statements run at."""

    constraint: str = ""
    """The DDL of what it relies on beyond its first schema, with `{schema}`; "" for nothing."""


class Allocator(Protocol):
    """A way to allocate tickets. Knows a pool of connections, and no HTTP."""

    mechanism: ClassVar[Mechanism]

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        """Work with connections of *pool* on the tables of *schema*."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Issue *purchase.quantity* consecutive tickets, or raise a `Refusal`.

        One that claims keys stores the purchase's in the transaction that sells, and raises
        `KeyUsed`, before any other refusal, when it was claimed already.
        """
