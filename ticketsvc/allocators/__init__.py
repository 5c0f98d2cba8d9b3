"""The allocators: one file per mechanism, one protocol, one registry.

Shared parts: `check_then_act` has the three statements that several mechanisms use, and
`conditional_update` explains why the two conditional updates reserved nothing. `event_queue` holds
the data of `group_commit`.
"""

from collections.abc import Mapping

from ticketsvc.allocators.advisory_lock import AdvisoryLock
from ticketsvc.allocators.group_commit import GroupCommit
from ticketsvc.allocators.naive import Naive
from ticketsvc.allocators.naive_bulk import NaiveBulk
from ticketsvc.allocators.noop import NoOp
from ticketsvc.allocators.protocol import Allocator, Mechanism
from ticketsvc.allocators.range import Range
from ticketsvc.allocators.repeatable_read import RepeatableRead
from ticketsvc.allocators.repeatable_read_retry import RepeatableReadRetry
from ticketsvc.allocators.row_lock import RowLock
from ticketsvc.allocators.serializable import Serializable
from ticketsvc.allocators.ticket_rows import TicketRows
from ticketsvc.allocators.transaction import Transaction
from ticketsvc.allocators.unique_only import UniqueOnly

__all__ = ["ALLOCATORS", "DEFAULT_ALLOCATOR", "SERVABLE", "Allocator", "Mechanism"]

# The original, then the usual first attempts, then the safe ones.
_EVERY: tuple[type[Allocator], ...] = (
    Naive,
    NaiveBulk,
    Transaction,
    RepeatableRead,
    UniqueOnly,
    RowLock,
    AdvisoryLock,
    RepeatableReadRetry,
    Serializable,
    TicketRows,
    Range,
    GroupCommit,
)
ALLOCATORS: Mapping[str, type[Allocator]] = {
    allocator.mechanism.name: allocator for allocator in _EVERY
}
DEFAULT_ALLOCATOR = GroupCommit.mechanism.name

# What `serve` accepts: the allocators, and the no-op that measurements compare them with.
SERVABLE: Mapping[str, type[Allocator]] = {**ALLOCATORS, NoOp.mechanism.name: NoOp}
