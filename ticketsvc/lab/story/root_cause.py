"""Notebook 03: why does it happen?"""

import pandas as pd

from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.story import Claims

ANSWER = (
    "Check-then-act: a purchase decides on the stock it has read; others sell before it subtracts."
)


def the_order_decides(by_hand: ByHand) -> str:
    """Say what the lines of notebook 02 do one purchase after the other."""
    return (
        f"**What this shows.** {len(by_hand.tickets)} ticket is issued, the stock is "
        f"{by_hand.available}, and B sells nothing: it read what A had written. Only the order of "
        "the lines differs from notebook 02."
    )


def _reads(steps: pd.DataFrame) -> pd.DataFrame:
    return steps[steps["step"] == "read_pool"]


def _subtractions(steps: pd.DataFrame) -> pd.DataFrame:
    return steps[steps["step"] == "decrement"]


def all_had_read_before_the_first_subtracted(steps: pd.DataFrame, total: int) -> str:
    """Say what the timeline shows, in numbers."""
    reads, subtractions = _reads(steps), _subtractions(steps)
    stale = subtractions["stale_by"]
    return (
        f"**What this shows.** {(reads['read_available'] == total).sum()} of {len(reads)} "
        f"purchases read {total}. The last read ended at {reads['ended_ms'].max():.0f} ms, the "
        f"first subtraction ended at {subtractions['ended_ms'].min():.0f} ms. "
        f"{(stale > 0).sum()} subtracted on a stale read: since the read of the last one, "
        f"{stale.max()} others had subtracted."
    )


def one_buyer_alone_finds_nothing(by_purchases: pd.DataFrame) -> str:
    """Say how many bursts were damaged: of the fewest purchases, and on the fewest connections."""
    fewest, most = by_purchases["pool_size"].min(), by_purchases["purchases"].max()
    row = by_purchases.set_index(["pool_size", "purchases"]).loc[(fewest, most)]
    took = by_purchases["took_ms"]
    counted = "; ".join(
        f"{_purchases(number)}: {one['damaged']} of {one['repetitions']}"
        for number, one in _found(by_purchases).iloc[:2].iterrows()
    )
    return (
        f"**What this shows.** Bursts damaged, all servers together: {counted}. So a test that "
        "buys once never finds the bug. A purchase took (median, from point to point) "
        f"{took.min():.0f} to {took.max():.0f} ms; two overlap when they arrive closer "
        f"together. {fewest} connection{'s do' if fewest > 1 else ' does'} not prevent it: "
        f"{row['damaged']:.0f} of {row['repetitions']:.0f} bursts of {most} purchases were "
        "damaged, because purchases take turns *between their statements*."
    )


def check_then_act(by_purchases: pd.DataFrame, window_ms: float) -> str:
    """Answer why, in few lines."""
    found = _found(by_purchases)
    alone, most = found.iloc[0], found.iloc[-1]
    return (
        "Check-then-act: a purchase reads the stock, and subtracts later. Others read the same "
        "stock in between, and sell the same tickets. It happens when nothing holds them, too: "
        f"{_purchases(found.index[-1])} within {window_ms:.0f} ms did damage in "
        f"{most['damaged']} of {most['repetitions']} bursts, {_purchases(found.index[0])} in "
        f"{alone['damaged']} of {alone['repetitions']}."
    )


def claims(
    by_hand: ByHand, burst: EventVerdict, steps: pd.DataFrame, by_purchases: pd.DataFrame
) -> Claims:
    """Return the claims of notebook 03; *steps* are those of *burst*."""
    reads, subtractions = _reads(steps), _subtractions(steps)
    found = by_purchases.pivot(index="purchases", columns="pool_size", values="damaged")
    return {
        "by hand, one after the other: one ticket, and none left": (
            by_hand.tickets["number"].tolist() == [1] and by_hand.available == 0
        ),
        "the burst was damaged": burst.duplicates > 0,
        "held by the test, all had read before the first subtraction": (
            reads["ended_ms"].max() <= subtractions["ended_ms"].min()
        ),
        "all read the same stock": reads["read_available"].nunique() == 1,
        "all but one subtracted on a stale read": (
            (subtractions["stale_by"] > 0).sum() == len(reads) - 1
        ),
        "one purchase alone never does damage": (found[found.index == 1] == 0).all(axis=None),
        f"{found.index.max()} purchases do, with every number of connections": (
            found.loc[found.index.max()] > 0
        ).all(),
    }


def _found(by_purchases: pd.DataFrame) -> pd.DataFrame:
    """Return how many bursts of each number of purchases were damaged, on all servers."""
    return by_purchases.groupby("purchases")[["damaged", "repetitions"]].sum()


def _purchases(number: object) -> str:
    return "1 purchase" if number == 1 else f"{number} purchases"
