"""Notebook 01: what is in the store before anybody buys?"""

import pandas as pd

from ticketsvc.lab.story import Claims

ANSWER = "Both schemas hold the six events, and both are clean."


def the_rows_agree_with_the_pool(pools: pd.DataFrame, event: str) -> str:
    """Say what the pool of *event* and its issued tickets have to do with each other."""
    pool = pools[(pools["event"] == event) & (pools["schema"] == "original")].iloc[0]
    return (
        f"**What this shows.** {pool['total']:,} tickets, {pool['available']:,} of them available: "
        f"{pool['total'] - pool['available']:,} are sold, and {pool['issued']:,} rows say to whom. "
        "A sale writes both tables."
    )


def both_schemas_hold_the_same(pools: pd.DataFrame) -> str:
    """Say how much is sold at the start."""
    one = pools[pools["schema"] == "original"]
    return (
        f"**What this shows.** {len(one)} events with {one['total'].sum():,} tickets, of which "
        f"{one['issued'].sum():,} are sold, the same in both schemas."
    )


def claims(pools: pd.DataFrame, same_tickets: bool) -> Claims:
    """Return the claims of notebook 01; *same_tickets*: the view returns the original's rows."""
    original, fixed = (pools[pools["schema"] == name] for name in ("original", "fixed"))
    return {
        "both schemas hold six events": len(original) == len(fixed) == 6,
        "every number is issued once": (pools["issued"] == pools["unique"]).all(),
        "as many are issued as the pools say": (
            pools["issued"] == pools["total"] - pools["available"]
        ).all(),
        "the audit finds every event clean": pools["clean"].all(),
        "both schemas hold the same stock": (
            original["available"].tolist() == fixed["available"].tolist()
        ),
        "the view returns the original's tickets, row for row": same_tickets,
    }
