"""Measure what a run costs: processor time, WAL, transactions, and what a crash could lose."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import psycopg

from ticketsvc.database.statements import load
from ticketsvc.lab.bench.database import BenchDatabase

_POLL_S = 0.02


@dataclass
class Costs:
    """The costs of one run. None: not visible, as in a process of another user."""

    server_cpu_s: float | None = None
    database_cpu_s: float | None = None
    wal_bytes: int | None = None
    transactions: int | None = None
    """Transactions that wrote, those rolled back included."""
    unflushed_bytes: int | None = None
    """The most WAL that was written but not yet flushed, at any moment."""

    def per_purchase(self, purchases: int) -> dict[str, float | None]:
        """Return the columns of a measurement, per issued purchase."""

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
def metering(database: BenchDatabase | None, server: Sequence[int]) -> Iterator[Costs]:
    """Measure the costs of the block, and of what is still in flight when it ends.

    *server*: the service's processes; *database*: None when it is unknown. WAL and transactions
    are those of the whole PostgreSQL server: use one that nobody else works on. Transactions
    are counted by their ids, since pg_stat_database is seconds late.
    """
    costs = Costs()
    server_before, database_before = _cpu_s(server), _cpu_s(_backends(database))
    start = database.position() if database else (0, 0)
    with _watching(database, costs) if database else contextlib.nullcontext():
        yield costs
    if database:
        database.await_quiet()
        wal_bytes, transactions = database.position()
        costs.wal_bytes, costs.transactions = wal_bytes - start[0], transactions - start[1]
    costs.server_cpu_s = _spent(server_before, _cpu_s(server))
    costs.database_cpu_s = _spent(database_before, _cpu_s(_backends(database)))


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def listeners(url: str) -> list[int]:
    """Return the processes that listen on *url*'s port, and their descendants.

    Empty when the system does not show them.
    """
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
    """Return the sum of the processes' resident memory."""
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


def _backends(database: BenchDatabase | None) -> list[int]:
    return [] if database is None else [int(row[0]) for row in database.rows("server_processes")]


def _spent(before: dict[int, float], after: dict[int, float]) -> float | None:
    """Return the difference, new processes included; the time of ended ones is lost."""
    return sum(each - before.get(pid, 0.0) for pid, each in after.items()) if after else None


@contextlib.contextmanager
def _watching(database: BenchDatabase, costs: Costs) -> Iterator[None]:
    """Poll, in a thread with its own connection, how much WAL is not flushed."""
    ended = threading.Event()
    query = load("bench", "fixed")["unflushed"].query
    costs.unflushed_bytes = 0

    def poll() -> None:
        with contextlib.suppress(psycopg.Error):
            while not ended.wait(_POLL_S):
                [(unflushed,)] = connection.execute(query).fetchall()
                costs.unflushed_bytes = max(costs.unflushed_bytes or 0, int(unflushed))

    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        thread = threading.Thread(target=poll, daemon=True, name="unflushed")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
