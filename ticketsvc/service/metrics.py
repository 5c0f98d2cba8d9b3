"""The server's counters, in Prometheus's text format."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ticketsvc.database.pool import Pool

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
COUNTERS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's; set where processes count together
OWN_FOLDER = "ticketsvc-metrics-"  # how the name of a folder begins that serve made


@contextlib.contextmanager
def counters_kept(folder: Path | None = None) -> Iterator[Path | None]:
    """Keep the folder of the shared counters, and return it; its last user removes it.

    A lock says who uses it, and the system releases the lock of a process that is killed. None:
    the folder named by the environment. One that `serve` did not make itself is left alone.
    """
    if folder is None and COUNTERS in os.environ:
        folder = Path(os.environ[COUNTERS])
    if folder is None or not folder.name.startswith(OWN_FOLDER):
        yield folder
        return
    import fcntl  # noqa: PLC0415 - Windows has none, and no processes that share a port

    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_SH)
        yield folder
    finally:
        with contextlib.suppress(BlockingIOError):  # another process uses it
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        os.close(holder)


class Metrics:
    """The counters of one server process, or the sum over all workers.

    Workers keep their counters in files of one folder; the worker that gets the request for
    `/metrics` adds them up.
    """

    def __init__(self, allocator: str) -> None:
        self._registry = CollectorRegistry()
        self.shared = COUNTERS in os.environ
        if self.shared:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        own = None if self.shared else self._registry
        count = partial(Counter, registry=own)
        gauge = partial(Gauge, registry=own, multiprocess_mode="livesum")
        self.purchases = count(
            "ticketsvc_purchases",
            "Purchases answered, by outcome: sold, replayed (sold earlier under the same key), "
            "or the error's code",
            ["allocator", "outcome"],
        )
        self.tickets = count(
            "ticketsvc_tickets_sold", "Ticket numbers given to buyers", ["allocator"]
        )
        self.seconds = Histogram(
            "ticketsvc_request_seconds",
            "Time from request to answer",
            ["route", "status"],
            buckets=_SECONDS,
            registry=own,
        )
        self.refused = count(
            "ticketsvc_connections_refused",
            "Connections answered before any request: 503 too many are open, 408 too slow",
            ["status"],
        )
        self._pool = gauge(
            "ticketsvc_pool",
            "The connection pool: connections (size), idle ones, purchases waiting",
            ["what"],
        )
        self._in_flight = gauge(
            "ticketsvc_purchases_in_flight", "Purchases that were accepted and have no outcome yet"
        )
        self.allocator = allocator
        # Looked up once: finding a label costs more than counting.
        self._sold = self.purchases.labels(allocator, "sold")
        self._tickets_sold = self.tickets.labels(allocator)
        self._seconds: dict[tuple[str, int], Histogram] = {}

    def sold(self, tickets: int) -> None:
        """Count one sale of *tickets* tickets."""
        self._sold.inc()
        self._tickets_sold.inc(tickets)

    def replayed(self) -> None:
        """Count an answer that repeats an earlier sale under the same key."""
        self.not_sold("replayed")

    def not_sold(self, code: str) -> None:
        """Count a purchase that ended with this error code."""
        self.purchases.labels(self.allocator, code).inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request to *route* and the seconds until its answer."""
        found = self._seconds.get((route, status))
        if found is None:
            found = self._seconds[route, status] = self.seconds.labels(route, status)
        found.observe(seconds)

    def connection_refused(self, status: int) -> None:
        """Count a connection that was answered in place of its request."""
        self.refused.labels(status).inc()

    def text(self, pool: Pool, in_flight: int) -> bytes:
        """Return all counters as text, with the current pool and purchases in flight."""
        self._read_gauges(pool, in_flight)
        return generate_latest(self._registry)

    async def keep_reading_gauges(self, pool: Pool, in_flight: Callable[[], int]) -> None:
        """Read the gauges every second, so that another worker can report them."""
        while True:
            self._read_gauges(pool, in_flight())
            await asyncio.sleep(1)

    def _read_gauges(self, pool: Pool, in_flight: int) -> None:
        self._in_flight.set(in_flight)
        stats = pool.get_stats()
        self._pool.labels("size").set(stats.get("pool_size", 0))
        self._pool.labels("idle").set(stats.get("pool_available", 0))
        self._pool.labels("waiting").set(stats.get("requests_waiting", 0))
