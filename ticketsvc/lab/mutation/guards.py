"""Every guard there is, and how to take it away."""

from dataclasses import dataclass

from ticketsvc.allocators import ALLOCATORS, Allocator
from ticketsvc.database.schemas import SchemaName
from ticketsvc.lab.mutation import mutants


@dataclass(frozen=True)
class AllocatorMutant:
    """An allocator without a guard, and the case in which that must show."""

    guard: str
    base: str
    schema: SchemaName
    mutant: type[Allocator]
    total: int = 8
    changes: tuple[str, ...] = ()
    hold_commits: bool = False
    together: int = 1


_CHECK_GONE = "ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_available_in_range"
_SEQUENCE_GONE = "DROP TRIGGER issue_in_sequence ON fixed.{table}"
_KEY_GONE = "ALTER TABLE fixed.ticket_allocations DROP CONSTRAINT ticket_allocations_pkey"
_STEP_GONE = "ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_in_step"
_CONDITION = " AND available >= %(quantity)s"


def allocator_mutants() -> list[AllocatorMutant]:
    """Return every mutant of an allocator."""
    rows, ranges = ALLOCATORS["ticket_rows"], ALLOCATORS["range"]
    unguarded_rows = (_CHECK_GONE, _SEQUENCE_GONE.format(table="issued_tickets"))
    unguarded_ranges = (_CHECK_GONE, _SEQUENCE_GONE.format(table="ticket_allocations"))
    rows_anyway = mutants.with_statement(rows, "reserve", _CONDITION, "")
    ranges_anyway = mutants.with_statement(ranges, "reserve_range", _CONDITION, "")
    unlocked = mutants.with_statement(ALLOCATORS["row_lock"], "lock_pool", "FOR UPDATE", "")
    no_advice = mutants.with_statement(
        ALLOCATORS["advisory_lock"],
        "take_lock",
        "pg_advisory_xact_lock(hashtextextended(%(event)s::text, 0))",
        "%(event)s::text",
    )
    number_free = (
        "ALTER TABLE original.issued_tickets DROP CONSTRAINT issued_tickets_unique_number",
    )
    condition, transaction = "the condition available >=", "the transaction"
    return [
        AllocatorMutant(condition, "ticket_rows", "fixed", rows_anyway),
        AllocatorMutant(
            f"{condition}, and its checks",
            "ticket_rows",
            "fixed",
            rows_anyway,
            changes=unguarded_rows,
        ),
        AllocatorMutant(condition, "range", "fixed", ranges_anyway),
        AllocatorMutant(
            f"{condition}, and its checks",
            "range",
            "fixed",
            ranges_anyway,
            changes=unguarded_ranges,
        ),
        AllocatorMutant(transaction, "ticket_rows", "fixed", mutants.TicketRowsWithoutTransaction),
        AllocatorMutant(transaction, "row_lock", "original", mutants.RowLockWithoutTransaction),
        AllocatorMutant(
            transaction, "advisory_lock", "original", mutants.AdvisoryLockWithoutTransaction
        ),
        AllocatorMutant("FOR UPDATE", "row_lock", "original", unlocked),
        AllocatorMutant("the advisory lock", "advisory_lock", "original", no_advice),
        AllocatorMutant(
            "the isolation level", "serializable", "original", mutants.SerializableAtReadCommitted
        ),
        AllocatorMutant(
            "the retry", "serializable", "original", mutants.SerializableWithoutRetry, total=16
        ),
        AllocatorMutant(
            "the unique constraint",
            "unique_only",
            "original",
            ALLOCATORS["unique_only"],
            changes=number_free,
        ),
        *_batch_mutants(unguarded_ranges),
    ]


def _batch_mutants(unguarded: tuple[str, ...]) -> list[AllocatorMutant]:
    """Take the bookkeeping of `reserve` apart: two purchases together, at each of two servers."""
    stock_kept = mutants.with_reserve("unsold := unsold - quantity;", "")
    number_kept = mutants.with_reserve("next := next + quantity;", "")
    row_free = mutants.with_reserve(" FOR NO KEY UPDATE SKIP LOCKED", "").replace(
        " FOR NO KEY UPDATE", ""
    )
    others = "(SELECT array_agg(u ORDER BY u DESC) FROM unnest(p_users) AS u)"
    wrong_hands = mutants.with_reserve("unnest(p_users,", f"unnest({others},")
    all_unguarded = (*unguarded, _STEP_GONE)
    parts: tuple[tuple[str, int, tuple[str, ...]], ...] = (
        ("the batch's count of stock", 8, (stock_kept,)),
        ("the batch's count of stock, and its checks", 8, (stock_kept, *all_unguarded)),
        ("the batch's next number", 16, (number_kept,)),
        ("who gets which of the batch's numbers", 16, (wrong_hands,)),
        ("the batch's lock", 16, (row_free,)),
        ("the batch's lock, and its checks", 16, (row_free, *all_unguarded, _KEY_GONE)),
    )
    return [
        AllocatorMutant(
            guard,
            "group_commit",
            "fixed",
            ALLOCATORS["group_commit"],
            total=total,
            changes=changes,
            hold_commits=True,
            together=2,
        )
        for guard, total, changes in parts
    ]


# What the schema forbids, and the DDL that allows it again.
SCHEMA_GUARDS: dict[str, tuple[str, ...]] = {
    **{
        name: (f"ALTER TABLE fixed.{table} DROP CONSTRAINT {name}",)
        for table, name in (
            ("ticket_pools", "ticket_pools_available_in_range"),
            ("ticket_pools", "ticket_pools_in_step"),
            ("issued_tickets", "issued_tickets_pkey"),
            ("ticket_allocations", "ticket_allocations_pkey"),
            ("ticket_allocations", "ticket_allocations_whole_blocks"),
        )
    },
    "issue_in_sequence": (
        _SEQUENCE_GONE.format(table="issued_tickets"),
        _SEQUENCE_GONE.format(table="ticket_allocations"),
    ),
    "issued_for_good": (
        "DROP TRIGGER issued_for_good ON fixed.ticket_allocations",
        "DROP TRIGGER issued_for_good_removal ON fixed.ticket_allocations",
    ),
    "pool_outlives_tickets": ("DROP TRIGGER pool_outlives_tickets ON fixed.ticket_pools",),
    "pool_fits_tickets": ("DROP TRIGGER pool_fits_tickets ON fixed.ticket_pools",),
}
