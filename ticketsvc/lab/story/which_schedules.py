"""What notebook 07 says: which schedules break which allocator."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ticketsvc.lab.explore.exploration import Exploration
from ticketsvc.lab.explore.reduction_check import BothWays
from ticketsvc.lab.explore.schedules import ScheduleRun
from ticketsvc.lab.mutation.mutations import NOBODY
from ticketsvc.lab.story import Claims

ANSWER = (
    "Every schedule except the serial ones breaks the naive allocator; none breaks an allocator "
    "that claims to be safe."
)


def each_class_ends_alike(schedules: pd.DataFrame) -> str:
    """Say which schedules are clean, and what the others have in common."""
    clean = schedules["clean"]
    return (
        f"**What this shows.** Each column is a class. The {clean.sum()} clean schedules are the "
        f"serial ones. In the other {(~clean).sum()} both read before either subtracts: damage, "
        "whether A subtracts first or B."
    )


def only_serial_orders_are_clean(explored: Mapping[str, BothWays]) -> str:
    """Say how many schedules of naive are clean, and why those of the safe ones are."""
    naive = explored["naive"].runs
    return (
        f"**What this shows.** Of `naive` {_clean(naive)} schedules are clean, the serial ones; of "
        "a safe allocator all are. Its second buyer does not sell on a stale read: it waits for a "
        "lock, or tries again after an error (in `group_commit` after the answer `busy`: another "
        "purchase has locked the row). `repeatable_read` is clean here too; more stock (below) "
        "shows why it is not safe."
    )


def first_wait(explored: Mapping[str, BothWays]) -> ScheduleRun:
    """Return the first schedule of `row_lock` in which a buyer waits for a lock."""
    return next(run for run in explored["row_lock"].runs if run.blocked)


def without_the_lock(explored: Mapping[str, BothWays]) -> ScheduleRun:
    """Return the schedule of `transaction` that has the order of `first_wait`."""
    order = [step.session for step in first_wait(explored).steps]
    runs = explored["transaction"].runs
    return next(run for run in runs if [step.session for step in run.steps[: len(order)]] == order)


def only_the_lock_makes_the_read_wait(explored: Mapping[str, BothWays]) -> str:
    """Say why the read of a bare transaction does not help, and what the lock changes."""
    bad = [run for run in explored["transaction"].runs if not run.verdict.clean]
    waits = sum(run.blocked for run in bad)
    return (
        "B's read waits for nothing: a plain `SELECT` takes no lock and sees the last commit. So "
        "B finds all tickets and sells them again. At most the `UPDATE` waits (in "
        f"{waits} of {len(bad)} damaged schedules), and by then B has decided.\n\n"
        "**The same order in `row_lock`.** `FOR UPDATE` makes the *read* wait until A's "
        "transaction has ended: B decides on a stock that is still true."
    )


def no_safe_allocator_breaks(table: pd.DataFrame) -> str:
    """Say how many schedules of each safe allocator were covered, and how many are bad."""
    safe = _safe_counts(table)
    bad = int((safe["schedules"] - safe["clean"]).sum())
    least, most = safe["schedules"].idxmin(), safe["schedules"].idxmax()
    return (
        f"**What this shows.** {bad or 'None'} of the schedules of {len(safe)} safe allocators "
        f"{'do' if bad > 1 else 'does'} damage. All are covered, from "
        f"{safe['schedules'][least]:,} of `{least}` to {safe['schedules'][most]:,} of `{most}`, "
        f"of which {safe['classes'][most]:,} were executed."
    )


def a_sample_is_not_a_proof(drawn: Exploration) -> str:
    """Say what a random sample of four buyers shows, and what it cannot."""
    return (
        "Four buyers of `range`, tickets for two, have too many schedules: of "
        f"{drawn.schedules} drawn at random {drawn.violating or 'none'} did damage. If any does, "
        f"then at most {drawn.bound:.1%} of all (95 % confidence)."
    )


def batches_are_covered(batches: Exploration) -> str:
    """Say what all schedules of two servers with two purchases each show."""
    return (
        "Batches of `group_commit`, two purchases at each of two servers, tickets for two: "
        f"{batches.violating or 'none'} of all {batches.schedules} schedules did damage."
    )


def the_reduction_loses_nothing(compared: pd.DataFrame) -> str:
    """Say how many cases were explored both ways, and in how many the results agree."""
    return (
        f"**What this shows.** In {compared['same'].sum()} of {len(compared)} cases the "
        f"{compared['classes'].sum()} schedules of the reduction, and all "
        f"{compared['in_full'].sum()}, end in the same results, each equally often."
    )


def mutants_by_catcher(mutants: pd.DataFrame) -> pd.DataFrame:
    """Count the mutants that each of explorer, database and checker caught."""
    of_schema = mutants["taken from"].str.startswith("schema")
    guard = of_schema.map({True: "of the schema", False: "of an allocator"})
    guard = guard.mask(mutants["guard"] == "the sign check", "the sign check").rename("guard")
    return pd.crosstab(guard, mutants["caught by"])


def every_order_was_covered(table: pd.DataFrame, mutants: pd.DataFrame) -> str:
    """Answer how we know: the orders that are covered, and the safeguards that were taken out."""
    safe = _safe_counts(table)
    bad = int((safe["schedules"] - safe["clean"]).sum())
    noticed = (mutants["caught by"] != NOBODY).sum()
    return (
        f"Every order of the statements of {table['buyers'].min()} and {table['buyers'].max()} "
        f"purchases is covered, with {len(safe)} safe allocators: {safe['schedules'].sum():,} "
        f"orders. Of those that must end alike one was run, {safe['classes'].sum():,} in all. "
        f"{bad or 'None'} oversold or issued a number twice. To test the test, a safeguard was "
        f"removed {len(mutants)} times: {noticed} times an order, the database or the checker "
        "showed that it is missing."
    )


def claims_of_naive(explored: Mapping[str, BothWays], schedules: pd.DataFrame) -> Claims:
    """Return what is claimed of the two naive allocators, and of classes."""
    bulk, naive = explored["naive_bulk"].runs, explored["naive"].runs
    schedules_of_naive = sum(run.represents for run in naive)
    return {
        "naive in three statements: only serial orders are clean": all(
            run.serial == run.verdict.clean for run in bulk
        ),
        "the schedules of a class end alike": (
            schedules.groupby("class")["clean"].nunique() == 1
        ).all(),
        f"naive, statement by statement: all {schedules_of_naive:,} schedules covered, "
        f"{_clean(naive)} of them clean": (
            all(run.serial == run.verdict.clean for run in naive) and _clean(naive) == 2
        ),
    }


def claims_of_mechanisms(table: pd.DataFrame) -> Claims:
    """Return what is claimed of safe allocators, and of the three that look right."""
    safe = table[table["safe"]]
    by_name = table.groupby("mechanism")
    states, duplicates = by_name["sqlstates"].agg(set), by_name["duplicate"].sum()
    oversold, with_stock = by_name["oversold"].sum(), by_name["refused_with_stock"].sum()
    return {
        "safe allocators: all schedules are covered": safe["complete"].all(),
        "safe allocators: no violation in any of them": (safe["clean"] == safe["schedules"]).all(),
        "safe allocators: no buyer is refused with tickets left": (
            safe["refused_with_stock"] == 0
        ).all(),
        "safe allocators: in each case a buyer waits, retries or is refused": (
            safe["blocked"] + safe["retries"] + safe["refused"] > 0
        ).all(),
        "a transaction alone oversells, and so do unique numbers alone": (
            oversold[["transaction", "unique_only"]] > 0
        ).all(),
        "a transaction alone issues duplicates, and nothing fails": (
            duplicates["transaction"] > 0 and states["transaction"] == {""}
        ),
        "unique numbers are unique": duplicates["unique_only"] == 0,
        "REPEATABLE READ does not oversell; it refuses with tickets left (40001)": (
            oversold["repeatable_read"] == 0 < with_stock["repeatable_read"]
            and "40001" in states["repeatable_read"]
        ),
    }


def claims_of_the_method(
    compared: pd.DataFrame, mutants: pd.DataFrame, drawn: Exploration, batches: Exploration
) -> Claims:
    """Return what is claimed of the reduction, the mutants and the larger cases."""
    return {
        "with and without the reduction: the same results, equally often": compared["same"].all(),
        "naive is among the cases that were compared": any(
            name.startswith("naive,") for name in compared["mechanism"]
        ),
        f"each of {len(mutants)} mutants is caught": (mutants["caught by"] != NOBODY).all(),
        "the sample of four buyers found no damage": drawn.violating == 0,
        "batches: all schedules covered, no violation, and a buyer waits": (
            batches.complete and batches.violating == 0 < batches.blocked
        ),
    }


def _clean(runs: Sequence[ScheduleRun]) -> int:
    return sum(run.represents for run in runs if run.verdict.clean)


def _safe_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many schedules each safe allocator has, were executed, and are clean."""
    safe = table[table["safe"]]
    return safe.groupby("mechanism", sort=False)[["schedules", "classes", "clean"]].sum()
