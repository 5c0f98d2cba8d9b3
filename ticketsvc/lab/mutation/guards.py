"""Every guard, and how to take it away."""

from dataclasses import dataclass

from ticketsvc.allocators import ALLOCATORS, Allocator
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import load
from ticketsvc.lab.mutation import mutants


@dataclass(frozen=True)
class AllocatorMutant:
    """An allocator without one of its guards, and the case in which that must show."""

    guard: str
    base: str
    schema: SchemaName
    mutant: type[Allocator]
    changes: tuple[str, ...] = ()
    total: int = 8
    hold_commits: bool = False
    together: int = 1


_CONDITION = " AND available >= %(quantity)s"


def removal(*names: str) -> tuple[str, ...]:
    """Return the DDL in `sql/statements/mutations.sql` by these names."""
    statements = load("mutations")
    return tuple(statements[name].query.decode() for name in names)


def allocator_mutants() -> list[AllocatorMutant]:
    """Return every mutant of an allocator."""
    rows, ranges = ALLOCATORS["ticket_rows"], ALLOCATORS["range"]
    lock, advice = ALLOCATORS["row_lock"], ALLOCATORS["advisory_lock"]
    unguarded_ranges = removal("drop_available_in_range", "drop_sequence_of_ranges")
    rows_anyway = mutants.with_statement(rows, "reserve", _CONDITION, "")
    rows_in_step = mutants.with_statement(rows, "reserve_in_step", _CONDITION, "")
    ranges_anyway = mutants.with_statement(ranges, "reserve_range", _CONDITION, "")
    unlocked = mutants.with_statement(lock, "lock_pool", "FOR UPDATE", "")
    no_advice = mutants.with_statement(
        advice,
        "take_lock",
        "pg_advisory_xact_lock(hashtextextended(%(event)s::text, 0))",
        "%(event)s::text",
    )
    condition, transaction = "the condition available >=", "the transaction"
    alone = f"{condition}, and its checks"
    unique, numbers = "the unique constraint", removal("drop_unique_number")
    return [
        AllocatorMutant(condition, "ticket_rows", "original", rows_anyway),
        AllocatorMutant(condition, "ticket_rows", "fixed", rows_in_step),
        AllocatorMutant(condition, "range", "fixed", ranges_anyway),
        AllocatorMutant(alone, "range", "fixed", ranges_anyway, unguarded_ranges),
        AllocatorMutant(transaction, "ticket_rows", "original", mutants.without_transaction(rows)),
        AllocatorMutant(transaction, "row_lock", "original", mutants.without_transaction(lock)),
        AllocatorMutant(
            transaction, "advisory_lock", "original", mutants.without_transaction(advice)
        ),
        AllocatorMutant("FOR UPDATE", "row_lock", "original", unlocked),
        AllocatorMutant("the advisory lock", "advisory_lock", "original", no_advice),
        AllocatorMutant(
            "the isolation level", "serializable", "original", mutants.SerializableAtReadCommitted
        ),
        AllocatorMutant(
            "the retry", "serializable", "original", mutants.SerializableWithoutRetry, total=16
        ),
        AllocatorMutant(unique, "unique_only", "original", ALLOCATORS["unique_only"], numbers),
        *_batch_mutants(unguarded_ranges),
    ]


def _batch_mutants(unguarded: tuple[str, ...]) -> list[AllocatorMutant]:
    """Return mutants of `reserve`: two purchases at a time at each of two servers."""
    stock_kept = mutants.with_reserve("unsold := unsold - quantity;", "")
    number_kept = mutants.with_reserve("next := next + quantity;", "")
    row_free = mutants.with_reserve(" FOR NO KEY UPDATE SKIP LOCKED", "").replace(
        " FOR NO KEY UPDATE", ""
    )
    others = "(SELECT array_agg(u ORDER BY u DESC) FROM unnest(p_users) AS u)"
    wrong_hands = mutants.with_reserve("unnest(p_users,", f"unnest({others},")
    all_unguarded = (*unguarded, *removal("drop_in_step"))
    parts: tuple[tuple[str, int, tuple[str, ...]], ...] = (
        ("the batch's count of stock", 8, (stock_kept,)),
        ("the batch's count of stock, and its checks", 8, (stock_kept, *all_unguarded)),
        ("the batch's next number", 16, (number_kept,)),
        ("who gets which of the batch's numbers", 16, (wrong_hands,)),
        ("the batch's lock", 16, (row_free,)),
        (
            "the batch's lock, and its checks",
            16,
            (row_free, *all_unguarded, *removal("drop_allocations_key")),
        ),
    )
    base = ALLOCATORS["group_commit"]
    return [
        AllocatorMutant(
            guard, "group_commit", "fixed", base, changes, total, hold_commits=True, together=2
        )
        for guard, total, changes in parts
    ]


def schema_guards() -> dict[str, tuple[str, ...]]:
    """Return each guard of the fixed schema, with the DDL that takes it away."""
    return {
        "ticket_pools_available_in_range": removal("drop_available_in_range"),
        "ticket_pools_in_step": removal("drop_in_step"),
        "issued_tickets_pkey": removal("drop_issued_tickets_key"),
        "ticket_allocations_pkey": removal("drop_allocations_key"),
        "ticket_allocations_whole_blocks": removal("drop_whole_blocks"),
        "issue_in_sequence": removal("drop_sequence_of_rows", "drop_sequence_of_ranges"),
        "issued_for_good": removal("drop_issued_for_good", "drop_issued_for_good_removal"),
        "pool_outlives_tickets": removal("drop_pool_outlives_tickets"),
        "pool_fits_tickets": removal("drop_pool_fits_tickets"),
    }
