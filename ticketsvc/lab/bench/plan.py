"""What is measured, under which load, and in which order. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ticketsvc.errors import UsageError
from ticketsvc.purchases import QUANTITY_RULE, TICKETS_PER_BLOCK, is_quantity

Kind = Literal["allocator", "noop", "bare_noop", "peer"]

MAX_SOLD_BEFORE = 1_000_000_000
DEFAULT_CONNECTIONS = 64
NOOP = "noop"
BARE_NOOP = "bare noop"
REFERENCE = "range"


@dataclass(frozen=True)
class Candidate:
    """A service that is measured: ours with an allocator, one of the two no-ops, or a peer.

    *url*: where a peer runs; the others are started. *durable*: whether commits wait for their
    flush; unknown of a peer. *keys*: whether each purchase has an idempotency key.
    """

    name: str
    kind: Kind = "allocator"
    durable: bool = True
    workers: int = 1
    url: str = ""
    keys: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is our service."""
        return self.kind in ("allocator", "noop")

    @property
    def sells(self) -> bool:
        """Whether it writes anything that can be audited."""
        return self.kind in ("allocator", "peer")

    @property
    def label(self) -> str:
        """The name, followed by what differs from the defaults."""
        more = [] if self.durable or not self.sells else ["not durable"]
        more += ["keys"] if self.keys else []
        more += [f"{self.workers} workers"] if self.workers > 1 else []
        return f"{self.name} ({', '.join(more)})" if more else self.name


@dataclass(frozen=True)
class BenchCase:
    """One candidate under one load: *connections* clients that buy from *events* events.

    *sold*: how many tickets of each event are sold before the measurement begins.
    """

    candidate: Candidate
    connections: int = DEFAULT_CONNECTIONS
    events: int = 1
    quantity: int = TICKETS_PER_BLOCK
    sold: int = 0

    @property
    def load(self) -> tuple[int, int, int, int]:
        """What must be equal for two figures to be comparable."""
        return self.connections, self.events, self.quantity, self.sold


def plan(
    candidates: Sequence[Candidate],
    connections: Sequence[int],
    events: Sequence[int] = (1,),
    quantities: Sequence[int] = (TICKETS_PER_BLOCK,),
    sold: Sequence[int] = (0,),
) -> list[BenchCase]:
    """Return every candidate under every combination of the loads, each once.

    The no-ops sell nothing: they are measured where their answer differs. Raise `UsageError` that
    names the option when a number of tickets cannot be measured.
    """
    cases = []
    for many, number, quantity, before in itertools.product(connections, events, quantities, sold):
        if not is_quantity(quantity):
            raise UsageError(f"--quantity {quantity}: {QUANTITY_RULE}")
        if before % TICKETS_PER_BLOCK or not 0 <= before <= MAX_SOLD_BEFORE:
            raise UsageError(
                f"--sold-before {before}: must be a multiple of {TICKETS_PER_BLOCK} "
                f"between 0 and {MAX_SOLD_BEFORE}"
            )
        cases += [
            BenchCase(one, many, number, quantity, before)
            if one.sells
            else BenchCase(one, many, quantity=quantity)
            for one in candidates
        ]
    return list(dict.fromkeys(cases))
