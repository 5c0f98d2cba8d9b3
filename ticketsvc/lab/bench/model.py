"""The lock-hold model: one hot event sells no faster than its row is handed on. Pure.

Whoever sells holds the event's pool row until the commit is on disk. So the event sells at most

    purchases per commit / (round trips under the lock x round trip + work + flush)

whatever the number of connections, processors or servers.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Trips:
    """How often one commit goes to the database and back: in all, and with the lock held."""

    all: int
    under_lock: int


TRIPS: Mapping[str, Trips] = {
    # begin, update, insert, commit: the lock is taken by the second, so the answer to it, and
    # the last two, are under the lock.
    "ticket_rows": Trips(4, 2),
    "range": Trips(1, 0),
    "group_commit": Trips(1, 0),
}


@dataclass(frozen=True)
class Hold:
    """How long one commit of an allocator keeps the row, and of what that time is made."""

    allocator: str
    purchases: int
    trips_s: float
    work_s: float
    flush_s: float

    @property
    def seconds(self) -> float:
        """The whole time."""
        return self.trips_s + self.work_s + self.flush_s

    @property
    def predicted_per_s(self) -> float:
        """Purchases per second that one event can sell so."""
        return self.purchases / self.seconds


def hold(
    allocator: str, *, purchases: int, round_trip_s: float, alone_s: float, flush_s: float
) -> Hold:
    """Take the time of a commit apart, as it was measured alone and without its flush.

    The work is what is left of it without the trips.
    """
    trips = TRIPS[allocator]
    return Hold(
        allocator,
        purchases,
        trips_s=trips.under_lock * round_trip_s,
        work_s=max(0.0, alone_s - trips.all * round_trip_s),
        flush_s=max(0.0, flush_s),
    )
