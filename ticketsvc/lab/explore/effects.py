"""What a step sees, locks and makes visible: enough to say which steps could matter to each other.

Pure. Relations are named `schema.table`. Everything here errs on the side of *dependent*: to
call two steps dependent that are not costs time, the reverse would lose schedules.
"""

from dataclasses import dataclass

ANYTHING = "*"
_SERIAL_ORDER = "(the order of serializable commits)"

Relations = frozenset[str]
NOTHING: Relations = frozenset()


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a statement does to which relations.

    *reads*: rows looked at. *writes*: rows changed or locked, and rows inserted where a rival's
    insert could be in the way (a unique constraint, a trigger). *inserts*: all rows inserted.
    """

    reads: Relations = NOTHING
    writes: Relations = NOTHING
    inserts: Relations = NOTHING

    @property
    def changes(self) -> Relations:
        """Return the relations whose contents or locks it touches."""
        return self.writes | self.inserts


UNKNOWN = Footprint(reads=frozenset({ANYTHING}), writes=frozenset({ANYTHING}))
"""Of a statement of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step sees of others' committed work, what it locks, and what it makes visible.

    *reads* and *writes* are what the database tracks of a serializable transaction: there a
    read and a rival's write matter to each other, committed or not.
    """

    sees: Relations = NOTHING
    locks: Relations = NOTHING
    publishes: Relations = NOTHING
    reads: Relations = NOTHING
    writes: Relations = NOTHING


def statement(
    footprint: Footprint, *, ends: bool, snapshot: bool = False, serializable: bool = False
) -> Effect:
    """Return a statement's effect.

    *ends*: it commits by itself, so what it changed is visible and unlocked afterwards.
    *snapshot*: it is the first one of a transaction that keeps its snapshot, so it sees, for
    all that follow, whatever is committed by now.
    """
    sees = footprint.reads | footprint.writes
    order = frozenset({_SERIAL_ORDER}) if ends and serializable else NOTHING
    return Effect(
        sees=frozenset({ANYTHING}) if snapshot else sees | order,
        locks=footprint.writes,
        publishes=footprint.changes | order if ends else NOTHING,
        reads=footprint.reads if serializable else NOTHING,
        writes=footprint.changes if serializable else NOTHING,
    )


def end_of_transaction(changed: Relations, *, serializable: bool = False) -> Effect:
    """Return the effect of a COMMIT or ROLLBACK after *changed* was written, inserted or locked."""
    order = frozenset({_SERIAL_ORDER}) if serializable else NOTHING
    return Effect(sees=order, publishes=changed | order)


def dependent(one: Effect, other: Effect) -> bool:
    """Tell whether the order of two steps of different purchases could matter."""
    return (
        overlap(one.locks, other.locks)
        or overlap(one.publishes, other.sees)
        or overlap(other.publishes, one.sees)
        or overlap(one.reads, other.writes)
        or overlap(other.reads, one.writes)
    )


def overlap(some: Relations, others: Relations) -> bool:
    """Tell whether two sets have a relation in common; anything has one with all but nothing."""
    if not some or not others:
        return False
    return ANYTHING in some or ANYTHING in others or not some.isdisjoint(others)
