"""Every guard, and how to take it away."""

from dataclasses import dataclass, replace

from ticketsvc.allocators import ALLOCATORS, Allocator
from ticketsvc.database.statements import load
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.mutation import mutants


@dataclass(frozen=True)
class AllocatorMutant:
    """An allocator without one of its guards, and the case in which that must show.

    *mutant*: in the place of the case's own allocator; *changes*: DDL that takes the guard away.
    """

    guard: str
    case: Case
    mutant: type[Allocator] | None
    changes: tuple[str, ...] = ()


_CONDITION = " AND available >= %(quantity)s"


def removal(*guards: str) -> tuple[str, ...]:
    """Return the DDL that takes *guards* away: the statements whose names begin with theirs.

    Raise `ValueError` when there is none for a guard, because a mutant must differ.
    """
    found: list[str] = []
    for guard in guards:
        queries = [one.query for name, one in load("mutations").items() if name.startswith(guard)]
        if not queries:
            raise ValueError(f"mutations.sql does not take {guard} away")
        found += [query.decode() for query in queries]
    return tuple(found)


def allocator_mutants() -> list[AllocatorMutant]:
    """Return every mutant of an allocator."""
    rows, ranges = ALLOCATORS["ticket_rows"], ALLOCATORS["range"]
    lock, advice = ALLOCATORS["row_lock"], ALLOCATORS["advisory_lock"]
    unguarded_ranges = removal("ticket_pools_available_in_range", "issue_in_sequence_of_ranges")
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
    rows_original, rows_fixed = Case("ticket_rows", "original"), Case("ticket_rows", "fixed")
    ranges_fixed = Case("range", "fixed")
    locking, advised = Case("row_lock", "original"), Case("advisory_lock", "original")
    retried = Case("serializable", "original")
    unique, numbers = Case("unique_only", "original"), removal("issued_tickets_unique_number")
    return [
        AllocatorMutant(condition, rows_original, rows_anyway),
        AllocatorMutant(condition, rows_fixed, rows_in_step),
        AllocatorMutant(condition, ranges_fixed, ranges_anyway),
        AllocatorMutant(
            f"{condition}, and its checks", ranges_fixed, ranges_anyway, unguarded_ranges
        ),
        AllocatorMutant(transaction, rows_original, mutants.without_transaction(rows)),
        AllocatorMutant(transaction, locking, mutants.without_transaction(lock)),
        AllocatorMutant(transaction, advised, mutants.without_transaction(advice)),
        AllocatorMutant("FOR UPDATE", locking, unlocked),
        AllocatorMutant("the advisory lock", advised, no_advice),
        AllocatorMutant("the isolation level", retried, mutants.SerializableAtReadCommitted),
        AllocatorMutant("the retry", replace(retried, total=16), mutants.SerializableWithoutRetry),
        AllocatorMutant("the unique constraint", unique, None, numbers),
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
    all_unguarded = (*unguarded, *removal("ticket_pools_in_step"))
    keyless = removal("ticket_allocations_pkey")
    last = Case("group_commit", "fixed", total=8, hold_commits=True, together=2)
    enough = replace(last, total=16)
    stock, lock = "the batch's count of stock", "the batch's lock"
    return [
        AllocatorMutant(stock, last, None, (stock_kept,)),
        AllocatorMutant(f"{stock}, and its checks", last, None, (stock_kept, *all_unguarded)),
        AllocatorMutant("the batch's next number", enough, None, (number_kept,)),
        AllocatorMutant("who gets which of the batch's numbers", enough, None, (wrong_hands,)),
        AllocatorMutant(lock, enough, None, (row_free,)),
        AllocatorMutant(
            f"{lock}, and its checks", enough, None, (row_free, *all_unguarded, *keyless)
        ),
    ]
