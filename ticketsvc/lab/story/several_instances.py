"""Notebook 05: does the fix hold across several instances?"""

from collections.abc import Sequence

import pandas as pd

from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.story import Claims

ANSWER = "Yes: several instances sell each number once, and no more tickets than there are."
ENDS = ("allocator", "processes", "successes", "refused", "tickets", "unique", "available")
"""What the notebook shows of a burst."""


def only_the_database_makes_one_wait(in_memory: Sequence[bool], by_hand: ByHand) -> str:
    """Say who got the lock in memory, and who the lock in the database."""
    return (
        f"**What this shows.** Of {len(in_memory)} processes, {sum(in_memory)} got the lock in "
        f"memory at the same time: each has its own. In the database *{by_hand.waits}*. To "
        "PostgreSQL, A and B are two sessions. Below, two processes open them."
    )


def two_processes_sell_each_number_once(sales: pd.DataFrame) -> str:
    """Say how the strips of the safe allocators differ from that of `naive`."""
    twice = (_sellers(sales) > 1).groupby("allocator").sum()
    both = sales.groupby("allocator")["process"].nunique().drop("naive") > 1
    return (
        "**What this shows.** Of each allocator, the burst in which both processes sold most "
        f"evenly; which of them wins is chance. With `naive` both sold the same {twice['naive']} "
        f"numbers. With {both.sum()} of the {len(both)} safe allocators both sold, and "
        f"{twice.drop('naive').sum()} numbers have two sellers."
    )


def _sellers(sales: pd.DataFrame) -> "pd.Series[int]":
    """Return how many processes sold each number, by allocator and number."""
    return sales.groupby(["allocator", "number"])["process"].nunique()


def claims(
    in_memory: Sequence[bool],
    by_hand: ByHand,
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    shares: pd.DataFrame,
    sales: pd.DataFrame,
) -> Claims:
    """Return the claims of notebook 05.

    *before* and *after* are bursts of the naive and of the safe allocators, *shares* the purchases
    that each process answered, *sales* the tickets of one burst of each, by number and process.
    """
    one = after.iloc[0]
    sold = one["total"] // one["quantity"]
    tickets = sold * one["quantity"]
    most = _sellers(sales).groupby("allocator").max()
    return {
        "a lock in memory: every process gets it": all(in_memory),
        "a lock in the database: B waits, and reads what A wrote": (
            {"waits for A", "goes on: available = 0"} <= {*by_hand.results}
        ),
        "every burst went to two processes or more": (after["processes"] >= 2).all(),
        "each process answered its share": (shares >= one["purchases"] // shares.shape[1]).all(
            axis=None
        ),
        f"{sold} purchases succeed in every burst": (after["successes"] == sold).all(),
        f"{tickets} tickets, all different, in every burst": (
            (after["tickets"] == tickets) & (after["duplicates"] == 0)
        ).all(),
        "what is left is too little for one purchase": (
            after["available"] == one["total"] % one["quantity"]
        ).all(),
        "every ledger is clean": after["clean"].all(),
        "before, every burst had duplicates": (before["duplicates"] > 0).all(),
        "before, both processes sold the same numbers": most["naive"] > 1,
        "after, no number comes from two": (most.drop("naive") == 1).all(),
    }
