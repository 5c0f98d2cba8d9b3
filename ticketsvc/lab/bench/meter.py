"""What a run costs: processor time, WAL, commits, and what a crash would lose at the worst."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import psycopg

from ticketsvc.database.statements import load
from ticketsvc.lab.bench.database import Stage

_LOOK_S = 0.02


@dataclass
class Costs:
    """Of one window. None: could not be seen, as a process of somebody else."""

    server_cpu_s: float | None = None
    database_cpu_s: float | None = None
    wal_bytes: int | None = None
    transactions: int | None = None
    """Those that wrote; rolled back ones too, as a retry leaves them."""
    unflushed_bytes: int | None = None
    """At the worst moment: written to the WAL and not yet on disk."""

    def per_purchase(self, purchases: int) -> dict[str, float | None]:
        """Return the columns of a measurement, per purchase that was issued."""

        def each(value: float | None, factor: float = 1.0) -> float | None:
            return None if value is None or not purchases else factor * value / purchases

        wal_bytes = each(self.wal_bytes)
        return {
            "server_cpu_us": each(self.server_cpu_s, 1e6),
            "database_cpu_us": each(self.database_cpu_s, 1e6),
            "wal_bytes": wal_bytes,
            "transactions": each(self.transactions),
            "at_risk_purchases": (
                self.unflushed_bytes / wal_bytes
                if self.unflushed_bytes is not None and wal_bytes
                else None
            ),
        }


@contextlib.contextmanager
def metering(stage: Stage | None, server: Iterable[int]) -> Iterator[Costs]:
    """Meter what happens meanwhile, until all that was in flight is done.

    *server*: the service's processes; *stage*: None when nothing is known of its database.
    WAL and transactions are the whole server's: measure on one that nobody else uses. The
    latter are counted by their numbers, at once: pg_stat_database comes seconds late.
    """
    costs = Costs()
    processes = list(server)
    server_before, database_before = _cpu_s(processes), _cpu_s(_backends(stage))
    start = stage.position() if stage else (0, 0)
    if stage is None:
        yield costs
    else:
        with _watching(stage, costs):
            yield costs
        stage.await_quiet()
        wal_bytes, transactions = stage.position()
        costs.wal_bytes, costs.transactions = wal_bytes - start[0], transactions - start[1]
    costs.server_cpu_s = _spent(server_before, _cpu_s(processes))
    costs.database_cpu_s = _spent(database_before, _cpu_s(_backends(stage)))


def family(pid: int) -> list[int]:
    """Return a process and its children, theirs included."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def listeners(url: str) -> list[int]:
    """Return the processes that listen on *url*'s port, and their children; none when hidden."""
    port = urlsplit(url).port or 80
    try:
        found = {
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid
        }
    except psutil.Error:
        return []
    return sorted({pid for parent in found for pid in family(parent)})


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of all of them together."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_info().rss
    return total


def _cpu_s(pids: Iterable[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            found[pid] = times.user + times.system
    return found


def _backends(stage: Stage | None) -> list[int]:
    return [] if stage is None else [int(row[0]) for row in stage.rows("server_processes")]


def _spent(before: dict[int, float], after: dict[int, float]) -> float | None:
    """Return what was spent meanwhile, also by those that have come; of those gone it is lost."""
    return sum(each - before.get(pid, 0.0) for pid, each in after.items()) if after else None


@contextlib.contextmanager
def _watching(stage: Stage, costs: Costs) -> Iterator[None]:
    """Look, from a thread and a connection of its own, how much is not yet on disk."""
    ended = threading.Event()
    query = load("bench", "fixed")["unflushed"].query
    costs.unflushed_bytes = 0

    def look() -> None:
        with contextlib.suppress(psycopg.Error):
            while not ended.wait(_LOOK_S):
                row = connection.execute(query).fetchone()
                costs.unflushed_bytes = max(costs.unflushed_bytes or 0, int(row[0]) if row else 0)

    with psycopg.connect(stage.conninfo, autocommit=True) as connection:
        thread = threading.Thread(target=look, daemon=True, name="unflushed")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
