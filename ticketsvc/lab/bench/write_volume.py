"""What a purchase makes the database write: rows, WAL bytes, heap and index bytes."""

import contextlib
from collections.abc import Iterator, Sequence

import pandas as pd
import psycopg
from psycopg import sql

from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_services

_WARM_UP = 20
_ATTEMPTS = 5
_COPIES = 8
# Where each allocator writes: the table, its columns of numbers, how purchases are counted.
_LEDGERS = {
    "ticket_rows": (
        "fixed.issued_tickets",
        "ticket_number",
        "count(DISTINCT (event_id, user_id))",
    ),
    "range": ("fixed.ticket_allocations", "start_ticket, end_ticket", "count(*)"),
}


async def measure(
    lab: Lab, *, event: str, quantities: Sequence[int], purchases: dict[str, int]
) -> pd.DataFrame:
    """Measure the write volume of each allocator in *purchases* at each quantity.

    *purchases*: how many to measure, by allocator. They are sold one after another over one
    connection, after a warm-up and without autovacuum. A window into which a checkpoint fell is
    measured again; what remains is reported.

    One row per allocator and quantity: ledger_rows, wal_bytes, heap_bytes and index_bytes per
    purchase, wal_bytes_per_ticket, and whether a checkpoint fell into the window.
    """
    rows = []
    for allocator, number in purchases.items():
        with (
            _autovacuum_off(lab),
            running_services(lab.url, allocator, schema="fixed", pool_size=1) as urls,
        ):
            for quantity in quantities:
                wal_bytes, checkpoint = await _undisturbed(lab, urls, event, number, quantity)
                ledger = lab.ledger("fixed", event)
                rows.append(
                    {
                        "allocator": allocator,
                        "quantity": quantity,
                        "purchases": number,
                        "ledger_rows": len(ledger.issues) / (number + _WARM_UP),
                        "wal_bytes": wal_bytes / number,
                        "wal_bytes_per_ticket": wal_bytes / number / quantity,
                        **_size_per_purchase(lab, allocator, event),
                        "checkpoint": checkpoint,
                        "clean": check_event(ledger).clean,
                    }
                )
    return pd.DataFrame(rows)


@contextlib.contextmanager
def _autovacuum_off(lab: Lab) -> Iterator[None]:
    """Keep autovacuum, which writes WAL too, away from the tables that are measured."""
    tables = ("ticket_pools", "issued_tickets", "ticket_allocations")
    for table in tables:
        lab.connection.execute(
            sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(
                sql.Identifier("fixed", table)
            )
        )
    try:
        yield
    finally:
        for table in tables:
            lab.connection.execute(
                sql.SQL("ALTER TABLE {} RESET (autovacuum_enabled)").format(
                    sql.Identifier("fixed", table)
                )
            )


async def _undisturbed(
    lab: Lab, urls: Sequence[str], event: str, number: int, quantity: int
) -> tuple[int, bool]:
    """Measure again when a checkpoint fell in, after which whole pages are written."""
    wal_bytes, checkpoint = 0, True
    for _ in range(_ATTEMPTS):
        checkpoint_before = last_checkpoint(lab.connection)
        lab.reset("fixed", event, (number + _WARM_UP) * quantity)
        await _sell(urls, event, _WARM_UP, quantity)
        before = wal_position(lab.connection)
        await _sell(urls, event, number, quantity)
        wal_bytes = wal_position(lab.connection) - before
        checkpoint = last_checkpoint(lab.connection) != checkpoint_before
        if not checkpoint:
            break
    return wal_bytes, checkpoint


async def _sell(urls: Sequence[str], event: str, number: int, quantity: int) -> None:
    history = await run_workload(urls, Workload(event, number, quantity, concurrency=1))
    sold = sum(attempt.outcome == "ok" for attempt in history)
    if sold != number:
        raise RuntimeError(f"only {sold} of {number} purchases were sold: {history[-1].message}")


def wal_position(connection: psycopg.Connection) -> int:
    """Return how many bytes of WAL the server has written since it was made."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


def last_checkpoint(connection: psycopg.Connection) -> str:
    """Name the server's last checkpoint by where in the WAL it began."""
    row = connection.execute("SELECT redo_lsn::text FROM pg_control_checkpoint()").fetchone()
    return str(row[0]) if row else ""


def _size_per_purchase(lab: Lab, allocator: str, event: str) -> dict[str, float]:
    """Copy the event's ledger, several times over, into a fresh table, and take its size.

    The table itself would mislead: space that an earlier measurement freed is used again.
    """
    ledger, columns, purchases = _LEDGERS[allocator]
    connection = lab.connection
    with connection.transaction():
        connection.execute(f"CREATE TEMP TABLE copied (LIKE {ledger} INCLUDING ALL) ON COMMIT DROP")
        connection.execute(
            f"INSERT INTO copied (event_id, user_id, {columns}) "  # noqa: S608
            f"SELECT event_id || copy, user_id, {columns} FROM {ledger}, "
            f"generate_series(1, %s) AS copy WHERE event_id = %s",
            [_COPIES, event],
        )
        row = connection.execute(
            f"SELECT pg_relation_size('copied'), pg_indexes_size('copied'), {purchases} FROM copied"  # noqa: S608
        ).fetchone()
    if row is None:
        raise RuntimeError("the database gave no size")
    heap, index, number = row
    return {"heap_bytes": heap / number, "index_bytes": index / number}
