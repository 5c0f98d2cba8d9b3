"""The lock-hold model: how fast one hot event can sell. Pure.

A transaction that sells holds the event's pool row until its commit is on disk. So the event
sells at most

    purchases per commit / (round trips under the lock x round trip + work + flush)

whatever the number of connections, processors or servers.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Trips:
    """The round trips to the database of one commit: all of them, and those with the lock held.

    Of BEGIN, UPDATE, INSERT, COMMIT the update takes the lock: half of its round trip, the
    insert's and half of the commit's pass with the lock held.
    """

    total: int
    locked: int


@dataclass(frozen=True)
class Hold:
    """How long one commit of an allocator holds the row, in three parts.

    *alone_s*: its time without contention and without the flush. What the round trips leave of
    it is the work.
    """

    allocator: str
    trips: Trips
    purchases: int
    round_trip_s: float
    alone_s: float
    flush_s: float

    @property
    def trips_s(self) -> float:
        """The round trips with the lock held."""
        return self.trips.locked * self.round_trip_s

    @property
    def work_s(self) -> float:
        """What the server works for the commit."""
        return max(0.0, self.alone_s - self.trips.total * self.round_trip_s)

    @property
    def seconds(self) -> float:
        """The sum of the parts."""
        return self.trips_s + self.work_s + self.flush_s

    @property
    def predicted_per_s(self) -> float:
        """Purchases per second that one event can sell at most; nan: too short to be measured."""
        return self.purchases / self.seconds if self.seconds else math.nan
