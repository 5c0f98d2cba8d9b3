"""Measure what a purchase makes the database write: rows, WAL, heap and index bytes."""

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from statistics import median
from typing import Any

import pandas as pd
import psycopg

from ticketsvc.allocators import ALLOCATORS, SAFE, Allocator
from ticketsvc.database.pool import Pool
from ticketsvc.database.roles import as_service
from ticketsvc.database.statements import load
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.figures import WAL, record
from ticketsvc.purchases import Purchase
from ticketsvc.settings import Settings

_WARM_UP = 5
_ATTEMPTS = 5
_PARTS = 5
_ROUNDS = 2
_COPIES = 8
_TABLES = ("ticket_pools", "issued_tickets", "ticket_allocations")
_Sell = Callable[[int], Awaitable[None]]


async def measure_write_volume(
    lab: Lab, *, event: str, quantities: Sequence[int], purchases: int
) -> pd.DataFrame:
    """Return the write volume of each safe allocator at each quantity, one row each.

    Its own code sells *purchases* one after another over one connection, after a warm-up and
    without autovacuum, in five parts whose median counts: what the server writes for itself falls
    into one of them. Or into all, where it goes on: so each is measured twice, some time apart, and
    the least counts. A measurement that a checkpoint fell into is repeated; *checkpoint* says
    whether the last repetition had one, too. *stores* is what it was found to store: rows (one per
    ticket) or ranges.
    """
    cases = list(itertools.product(SAFE, quantities))
    found: dict[tuple[str, int], dict[str, Any]] = {}
    clean = dict.fromkeys(cases, True)
    with _autovacuum_off(lab), counted("measurements", _ROUNDS * len(cases)) as count:
        async with Pool(as_service(lab.url), Settings.load(pool_size=1)) as pool:
            for case in cases * _ROUNDS:
                name, quantity = case
                sell = _selling(ALLOCATORS[name](pool, "fixed"), event, quantity)
                wal_bytes, checkpoint = await _wal_without_checkpoint(
                    lab, sell, event, purchases, quantity
                )
                ledger = lab.ledger("fixed", event)
                clean[case] &= check_event(ledger).clean
                if case not in found or wal_bytes < found[case]["wal_bytes"]:
                    single = all(issue.first == issue.last for issue in ledger.issues)
                    stores = "rows" if single else "ranges"
                    found[case] = {
                        "allocator": name,
                        "stores": stores,
                        "quantity": quantity,
                        "purchases": purchases,
                        "ledger_rows": len(ledger.issues) / (purchases + _WARM_UP),
                        "wal_bytes": wal_bytes,
                        "wal_bytes_per_ticket": wal_bytes / quantity,
                        **_size_per_purchase(lab.connection, stores, event),
                        "checkpoint": checkpoint,
                    }
                count()
    for (name, quantity), row in found.items():
        what = f"WAL of a purchase of {quantity}, {name}"
        record(what, "bytes", row["wal_bytes"], noise=WAL)
    return pd.DataFrame([found[case] | {"clean": clean[case]} for case in cases])


def _selling(allocator: Allocator, event: str, quantity: int) -> _Sell:
    """Return a function that sells this many purchases, each to another user."""
    users = itertools.count(1)

    async def sell(number: int) -> None:
        for _ in range(number):
            await allocator.allocate(Purchase(f"user-{next(users)}", event, quantity))

    return sell


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
    lab: Lab, sell: _Sell, event: str, number: int, quantity: int
) -> tuple[float, bool]:
    """Return the WAL per purchase; repeat when a checkpoint fell in: whole pages follow it."""
    parts = [size for part in range(_PARTS) if (size := (number + part) // _PARTS)]
    for _ in range(_ATTEMPTS):
        checkpoint_before = _last_checkpoint(lab.connection)
        lab.reset("fixed", event, (number + _WARM_UP) * quantity)
        await sell(_WARM_UP)
        measured = []
        for size in parts:
            before = wal_position(lab.connection)
            await sell(size)
            measured.append((wal_position(lab.connection) - before) / size)
        wal_bytes = median(measured)
        checkpoint = _last_checkpoint(lab.connection) != checkpoint_before
        if not checkpoint:
            break
    return wal_bytes, checkpoint


def wal_position(connection: psycopg.Connection) -> int:
    """Return how many bytes of WAL the server has written since it was created."""
    [(position,)] = connection.execute(load("write_volume")["wal_position"].query).fetchall()
    return int(position)


def _last_checkpoint(connection: psycopg.Connection) -> str:
    [(place,)] = connection.execute(load("write_volume")["last_checkpoint"].query).fetchall()
    return str(place)


def _size_per_purchase(connection: psycopg.Connection, stores: str, event: str) -> dict[str, float]:
    """Copy the event's ledger into a fresh table, and return its size per purchase."""
    statements = load("write_volume", "fixed")
    with connection.transaction():
        connection.execute(statements[f"make_copy_of_{stores}"].query)
        connection.execute(
            statements[f"fill_copy_of_{stores}"].query, {"copies": _COPIES, "event": event}
        )
        size = connection.execute(statements[f"size_of_{stores}"].query).fetchall()
    [(heap, index, purchases)] = size
    return {"heap_bytes": heap / purchases, "index_bytes": index / purchases}
