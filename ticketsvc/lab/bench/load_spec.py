"""What a load generator is asked to do, and what it counted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadSpec:
    """Closed-loop load: *connections* clients, each with one purchase in flight.

    *url*: the whole address that is posted to. *events*: bought from in turn. *limit*: the most
    requests to send before the *seconds* are over; None: no limit. *keys*: send an idempotency
    key with each request.
    """

    url: str
    events: tuple[str, ...]
    quantity: int
    connections: int
    seconds: float
    limit: int | None = None
    keys: bool = False


@dataclass(frozen=True)
class LoadResult:
    """What the clients counted: *sold* is the number of 2xx answers within *seconds*.

    *late*: sold, but answered after the end. *in_flight*: sent, but never answered; each of them
    may have been sold. Latencies are those of the sold.
    """

    sold: int
    seconds: float
    late: int = 0
    refused: int = 0
    failed: int = 0
    in_flight: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
