"""The protocol of every allocator: from a purchase to consecutive numbers or a refusal."""

from dataclasses import dataclass
from typing import Protocol

from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.purchases import Purchase, TicketRange


@dataclass(frozen=True)
class Mechanism:
    """The name and the properties of an allocator."""

    name: str
    summary: str
    safe: bool
    """Whether it may sell real tickets: under any concurrency it never oversells, never issues a
    number twice, and never refuses a purchase while enough tickets are left."""

    schemas: tuple[SchemaName, ...]
    """The schemas it can work on; the first is the default."""

    claims_keys: bool = False
    """Whether it stores a purchase's key with the tickets, on schema `fixed`."""

    isolation: str = "READ COMMITTED"
    """The isolation level of its statements."""

    change: str = ""
    """What a service that checks and then acts has to change for it; "": its summary."""

    constraint: str = ""
    """DDL that it needs beyond its first schema, with `{schema}`; "" for none."""

    @property
    def plainest_schema(self) -> SchemaName:
        """The schema on which the least but the allocator itself keeps the ledger right."""
        return "original" if "original" in self.schemas else self.schemas[0]


class Allocator(Protocol):
    """A way to allocate tickets. It uses a pool of connections and knows no HTTP."""

    mechanism: Mechanism

    def __init__(self, pool: Pool, schema: SchemaName) -> None:
        """Work with connections of *pool* on the tables of *schema*."""

    async def allocate(self, purchase: Purchase) -> TicketRange:
        """Issue *purchase.quantity* consecutive tickets, or raise a `Refusal`.

        An allocator that claims keys stores the purchase's key in the transaction that sells. It
        raises `KeyUsed`, before any other refusal, when the key belongs to a sale.
        """
