"""The allocators: one file per mechanism, one protocol, one registry.

Shared parts: `check_then_act` has the three statements that several mechanisms use, `retry` tries
them again after a conflict, and `conditional_update` explains why the two conditional updates
reserved nothing. `event_queue` holds the data of `group_commit`.
"""

from collections.abc import Mapping
from pathlib import Path

from ticketsvc.allocators.protocol import Allocator, Mechanism
from ticketsvc.allocators.registry import find_allocators

__all__ = ["ALLOCATORS", "DEFAULT_ALLOCATOR", "SAFE", "SERVABLE", "Allocator", "Mechanism"]

DEFAULT_ALLOCATOR = "group_commit"
_NOOP = "noop"

# The original, then the usual first attempts, then the safe ones; what is not named here is last.
_ORDER = (
    "naive",
    "naive_bulk",
    "transaction",
    "repeatable_read",
    "unique_only",
    "row_lock",
    "advisory_lock",
    "repeatable_read_retry",
    "serializable",
    "ticket_rows",
    "range",
    "group_commit",
)


_FOUND = find_allocators(Path(__file__).parent, __name__)
ALLOCATORS: Mapping[str, type[Allocator]] = {
    name: _FOUND[name] for name in dict.fromkeys((*_ORDER, *_FOUND)) if name != _NOOP
}

# The names of those that may sell real tickets: wherever fixes are compared, it is these.
SAFE = tuple(name for name, one in ALLOCATORS.items() if one.mechanism.safe)

# What `serve` accepts: the allocators, and the no-op that measurements compare them with.
SERVABLE: Mapping[str, type[Allocator]] = {**ALLOCATORS, _NOOP: _FOUND[_NOOP]}
