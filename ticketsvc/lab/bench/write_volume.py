"""Measure what a purchase makes the database write: rows, WAL, heap and index bytes."""

import contextlib
from collections.abc import Iterator, Sequence
from statistics import median

import pandas as pd
import psycopg

from ticketsvc.database.statements import load
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.figures import WAL, record
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each

_WARM_UP = 20
_ATTEMPTS = 5
_PARTS = 5
_COPIES = 8
_TABLES = ("ticket_pools", "issued_tickets", "ticket_allocations")
_LEDGERS = {"ticket_rows": "rows", "range": "ranges"}


async def measure_write_volume(
    lab: Lab, *, event: str, quantities: Sequence[int], purchases: dict[str, int]
) -> pd.DataFrame:
    """Return the write volume of each allocator in *purchases* at each quantity, one row each.

    *purchases*: how many to measure, by allocator. They are sold one after another over one
    connection, after a warm-up and without autovacuum, in five parts whose median counts: what
    the server writes for itself falls into one of them. A measurement that a checkpoint fell into
    is repeated; *checkpoint* says whether the last repetition had one, too.
    """
    rows = []
    wanted = [(name, {"schema": "fixed", "pool_size": 1}) for name in purchases]
    with (
        _autovacuum_off(lab),
        running_each(lab.url, wanted) as urls,
        counted("measurements", len(purchases) * len(quantities)) as count,
    ):
        for (allocator, number), url in zip(purchases.items(), urls, strict=True):
            for quantity in quantities:
                wal_bytes, checkpoint = await _wal_without_checkpoint(
                    lab, url, event, number, quantity
                )
                ledger = lab.ledger("fixed", event)
                what = f"WAL of a purchase of {quantity}, {allocator}"
                record(what, "bytes", wal_bytes, noise=WAL)
                rows.append(
                    {
                        "allocator": allocator,
                        "quantity": quantity,
                        "purchases": number,
                        "ledger_rows": len(ledger.issues) / (number + _WARM_UP),
                        "wal_bytes": wal_bytes,
                        "wal_bytes_per_ticket": wal_bytes / quantity,
                        **_size_per_purchase(lab.connection, _LEDGERS[allocator], event),
                        "checkpoint": checkpoint,
                        "clean": check_event(ledger).clean,
                    }
                )
                count()
    return pd.DataFrame(rows)


@contextlib.contextmanager
def _autovacuum_off(lab: Lab) -> Iterator[None]:
    """Keep autovacuum, which writes WAL too, away from the tables that are measured."""
    statements = [load("write_volume", "fixed", table=table) for table in _TABLES]
    for each in statements:
        lab.connection.execute(each["autovacuum_off"].query)
    try:
        yield
    finally:
        for each in statements:
            lab.connection.execute(each["autovacuum_on"].query)


async def _wal_without_checkpoint(
    lab: Lab, url: str, event: str, number: int, quantity: int
) -> tuple[float, bool]:
    """Return the WAL per purchase; repeat when a checkpoint fell in: whole pages follow it."""
    parts = [size for part in range(_PARTS) if (size := (number + part) // _PARTS)]
    wal_bytes, checkpoint = 0.0, True
    for _ in range(_ATTEMPTS):
        checkpoint_before = _last_checkpoint(lab.connection)
        lab.reset("fixed", event, (number + _WARM_UP) * quantity)
        await _sell(url, event, _WARM_UP, quantity)
        measured = []
        for size in parts:
            before = wal_position(lab.connection)
            await _sell(url, event, size, quantity)
            measured.append((wal_position(lab.connection) - before) / size)
        wal_bytes = median(measured)
        checkpoint = _last_checkpoint(lab.connection) != checkpoint_before
        if not checkpoint:
            break
    return wal_bytes, checkpoint


async def _sell(url: str, event: str, number: int, quantity: int) -> None:
    history = await run_workload([url], Workload(event, number, quantity, concurrency=1))
    sold = sum(attempt.outcome == "ok" for attempt in history)
    if sold != number:
        raise RuntimeError(f"only {sold} of {number} purchases were sold: {history[-1].message}")


def wal_position(connection: psycopg.Connection) -> int:
    """Return how many bytes of WAL the server has written since it was created."""
    row = connection.execute(load("write_volume")["wal_position"].query).fetchone()
    return int(row[0]) if row else 0


def _last_checkpoint(connection: psycopg.Connection) -> str:
    row = connection.execute(load("write_volume")["last_checkpoint"].query).fetchone()
    return str(row[0]) if row else ""


def _size_per_purchase(connection: psycopg.Connection, ledger: str, event: str) -> dict[str, float]:
    """Copy the event's ledger into a fresh table, and return its size per purchase."""
    statements = load("write_volume", "fixed")
    with connection.transaction():
        connection.execute(statements[f"make_copy_of_{ledger}"].query)
        connection.execute(
            statements[f"fill_copy_of_{ledger}"].query, {"copies": _COPIES, "event": event}
        )
        row = connection.execute(statements[f"size_of_{ledger}"].query).fetchone()
    if row is None:
        raise RuntimeError("the database returned no size")
    heap, index, purchases = row
    return {"heap_bytes": heap / purchases, "index_bytes": index / purchases}
