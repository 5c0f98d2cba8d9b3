"""What is measured against what, and in which order. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ticketsvc.purchases import QUANTITY_RULE, TICKETS_PER_BLOCK, is_quantity

Kind = Literal["allocator", "ceiling", "peer", "peer_ceiling"]

MAX_CONNECTIONS = 512
MAX_EVENTS = 10_000
MAX_SOLD_BEFORE = 1_000_000_000
DEFAULT_CONNECTIONS = 64
CEILING = "noop"
REFERENCE = "range"


@dataclass(frozen=True)
class Contender:
    """One service: ours with an allocator, the ceiling of ours, or a foreign one.

    *url*: where a foreign one runs already; ours is started. *durable*: whether its sessions
    wait for the flush of a commit; what a foreign one does is its own affair. *keys*: each purchase
    comes with an idempotency key.
    """

    name: str
    kind: Kind = "allocator"
    durable: bool = True
    workers: int = 1
    url: str = ""
    keys: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is started here."""
        return self.kind in ("allocator", "ceiling")

    @property
    def sells(self) -> bool:
        """Whether it writes anything that could be audited."""
        return self.kind in ("allocator", "peer")

    @property
    def label(self) -> str:
        """The name, with what sets it apart from the usual."""
        more = [] if self.durable or not self.sells else ["not durable"]
        more += ["keys"] if self.keys else []
        more += [f"{self.workers} workers"] if self.workers > 1 else []
        return f"{self.name} ({', '.join(more)})" if more else self.name


@dataclass(frozen=True)
class Case:
    """One contender under one load: so many connections that buy of so many events.

    *sold*: tickets of each event that are sold before the measurement begins.
    """

    contender: Contender
    connections: int = DEFAULT_CONNECTIONS
    events: int = 1
    quantity: int = TICKETS_PER_BLOCK
    sold: int = 0

    @property
    def load(self) -> tuple[int, int, int, int]:
        """What has to be equal for two figures to be compared."""
        return self.connections, self.events, self.quantity, self.sold


def fault_of_load(*, connections: int, events: int, quantity: int, sold: int) -> str:
    """Name what of a load cannot be measured; "" when all of it can."""
    if not 1 <= connections <= MAX_CONNECTIONS:
        return f"connections {connections}: must be between 1 and {MAX_CONNECTIONS}"
    if not 1 <= events <= MAX_EVENTS:
        return f"events {events}: must be between 1 and {MAX_EVENTS}"
    if not is_quantity(quantity):
        return f"quantity {quantity}: {QUANTITY_RULE}"
    if sold % TICKETS_PER_BLOCK or not 0 <= sold <= MAX_SOLD_BEFORE:
        return f"tickets {sold}: must be a multiple of 8 between 0 and {MAX_SOLD_BEFORE}"
    return ""


def interleaved(cases: Sequence[Case], repetitions: int) -> list[Case]:
    """Return the order of measurement, A B C A B C, so that a slower minute affects all alike."""
    return [case for _ in range(repetitions) for case in cases]
