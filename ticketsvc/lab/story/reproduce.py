"""Notebook 02: can the service sell more tickets than there are?"""

import pandas as pd

from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.story import Claims

ANSWER = (
    "Yes: every burst issues the same numbers several times, and oversells when more tickets are "
    "wanted than there are."
)
ENDS = ("successes", "tickets", "unique", "duplicates", "available", "issued")
"""What the notebook shows of a burst."""


def one_ticket_was_sold_twice(by_hand: ByHand) -> str:
    """Say what the six lines left behind."""
    buyers, numbers = by_hand.tickets["buyer"], by_hand.tickets["number"].unique().astype(str)
    return (
        f"**What this shows.** Of one ticket {len(buyers)} are issued, to "
        f"{' and '.join(buyers)}, with number {' and '.join(numbers)}. The stock is "
        f"{by_hand.available}. More tickets issued than there are is an *oversell*, one number "
        "issued twice a *duplicate*."
    )


def all_were_told_sold(bursts: pd.DataFrame) -> str:
    """Say what the buyers of the last burst were told, and what they hold."""
    last = bursts.iloc[-1]
    return (
        "Yes, the ticket service as it was, on PostgreSQL. "
        f"{last['purchases']} buyers wanted {last['quantity']} tickets each of an event that has "
        f"{last['total']}. The test held them until all had read the stock; then "
        f"{last['successes']} were told *sold*, and {last['total'] // last['quantity']} should "
        f"have been. They hold {last['tickets']} tickets with "
        f"{last['unique']} different numbers: {last['duplicates']} duplicates. "
        f"The stock is {last['available']}."
    )


def claims(
    by_hand: ByHand, bursts: pd.DataFrame, every: pd.DataFrame, violations: pd.DataFrame
) -> Claims:
    """Return the claims of notebook 02.

    *bursts* are of the first kind, *every* has the other kinds too; *violations* are what the
    checker says of one.
    """
    one = bursts.iloc[0]
    purchases, quantity, total = one["purchases"], one["quantity"], one["total"]
    wanted = every["purchases"] * every["quantity"]
    kinds = every.groupby(["purchases", "total"])["duplicates"]
    return {
        "by hand: one ticket is sold twice, and the stock ends below zero": (
            by_hand.tickets["number"].tolist() == [1, 1] and by_hand.available < 0
        ),
        "by hand: no line waits or fails": not any(
            result.startswith(("waits", "refused")) for result in by_hand.results
        ),
        "no purchase was left without an answer": (every["unknown"] == 0).all(),
        f"all {purchases} purchases succeed, in every burst": (
            bursts["successes"] == purchases
        ).all(),
        f"{purchases * quantity} tickets are issued, {quantity} of them different, "
        "in every burst": (
            (bursts["tickets"] == purchases * quantity) & (bursts["unique"] == quantity)
        ).all(),
        f"{(purchases - 1) * quantity} duplicates, in every burst": (
            bursts["duplicates"] == (purchases - 1) * quantity
        ).all(),
        f"the stock ends at {total - purchases * quantity}, in every burst": (
            bursts["available"] == total - purchases * quantity
        ).all(),
        "the checker names the duplicates, and a race as their cause": (
            (violations["kind"] == "duplicate") & (violations["cause"] == "race")
        ).any(),
        "a burst oversells exactly when it wants more than there is": (
            every["oversold"] == (wanted > every["total"])
        ).all(),
        "every burst of every kind has duplicates": (every["duplicates"] > 0).all(),
        "bursts of one kind have the same number of duplicates": (kinds.min() == kinds.max()).all(),
    }
