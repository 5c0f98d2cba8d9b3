"""What a hot event can sell and an on-sale needs, calculated from measured costs. Pure.

One committer per event: what waits when a commit ends goes into the next one. `commit_in_turn`
is that queue. With `CommitCost.simulate` it simulates; with a function that commits, it measures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from ticketsvc.allocators.group_commit import MAX_BATCH

USABLE = 0.7  # of a capacity: above it waits grow steeply
ONE_BY_ONE = "seconds to sell an event, one purchase per commit"
BATCHED = f"seconds to sell an event, in batches of {MAX_BATCH}"
ALL = f"seconds to sell all on one PostgreSQL, in batches of {MAX_BATCH}"


@dataclass(frozen=True)
class CommitCost:
    """What a commit costs: *fixed_s* for round trip and flush, *each_s* for each purchase in it."""

    fixed_s: float
    each_s: float

    def per_s(self, batch: int) -> float:
        """Return how many purchases per second one event sells in batches of this size."""
        return batch / (self.fixed_s + batch * self.each_s)

    def simulate(self, purchases: int, began_s: float) -> float:
        """Return when a commit that begins at *began_s* ends."""
        return began_s + self.fixed_s + purchases * self.each_s


def fit(single_s: float, batch: int, batch_s: float) -> CommitCost:
    """Return the cost that explains a commit of one purchase and one of *batch*."""
    each_s = max(0.0, (batch_s - single_s) / (batch - 1))
    return CommitCost(single_s - each_s, each_s)


REQUEST_S = 93e-6
"""Processor time of the service for one purchase, with log and metrics, as `bench` shows."""


def commit_in_turn(
    arrivals_s: Sequence[float], commit: Callable[[int, float], float], most: int = MAX_BATCH
) -> pd.DataFrame:
    """Commit purchases in order of arrival, at most *most* at a time, one commit after another.

    *commit* takes the number of purchases and when it may begin, and returns when it ended. One
    row per commit: purchases, began_s, ended_s.
    """
    rows = []
    now, done = 0.0, 0
    while done < len(arrivals_s):
        now = max(now, arrivals_s[done])
        end = done
        while end < len(arrivals_s) and end - done < most and arrivals_s[end] <= now:
            end += 1
        began, now = now, commit(end - done, now)
        rows.append((end - done, began, now))
        done = end
    return pd.DataFrame(rows, columns=["purchases", "began_s", "ended_s"])


@dataclass(frozen=True)
class OnSale:
    """An on-sale: what is sold, in how many events, and the requests that come for it."""

    name: str
    tickets: int
    events: int
    requests: float
    within_s: float
    peak: float = 1.0  # of the mean rate
    quantity: int = 8

    @property
    def requests_per_s(self) -> float:
        """The rate of requests at the peak."""
        return self.requests / self.within_s * self.peak


STADIUM = OnSale("stadium", 70_000, 1, requests=500_000, within_s=60)
LARGEST = OnSale("largest reported", 2_000_000, 52, requests=3.5e9, within_s=24 * 3600, peak=10)


def plan(sale: OnSale, cost: CommitCost) -> dict[str, object]:
    """Return what *sale* needs: purchases, cores, and seconds of the database.

    The seconds per event assume that all events are alike. Cores are those of the service alone.
    """
    purchases = math.ceil(sale.tickets / sale.quantity)
    of_event = math.ceil(purchases / sale.events)
    return {
        "on-sale": sale.name,
        "purchases": purchases,
        "requests per second": round(sale.requests_per_s),
        "cores for requests": math.ceil(sale.requests_per_s * REQUEST_S / USABLE),
        ONE_BY_ONE: round(of_event / cost.per_s(1), 2),
        BATCHED: round(of_event / cost.per_s(MAX_BATCH), 2),
        ALL: round(purchases / cost.per_s(MAX_BATCH), 2),
    }


def plans(cost: CommitCost) -> pd.DataFrame:
    """Return the plans of both on-sales, a column each."""
    columns = [plan(sale, cost) for sale in (STADIUM, LARGEST)]
    # As objects: a count of purchases is shown without decimals beside seconds.
    return pd.DataFrame(columns).set_index("on-sale").astype(object).T
