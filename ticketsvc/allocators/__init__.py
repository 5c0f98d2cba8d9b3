"""Every allocator by its name: one file per mechanism, one protocol, one registry."""

from collections.abc import Mapping

from ticketsvc.allocators.group_commit import GroupCommit
from ticketsvc.allocators.naive import Naive
from ticketsvc.allocators.noop import NoOp
from ticketsvc.allocators.protocol import Allocator, Mechanism
from ticketsvc.allocators.range import Range
from ticketsvc.allocators.ticket_rows import TicketRows

__all__ = ["ALLOCATORS", "DEFAULT_ALLOCATOR", "SERVABLE", "Allocator", "Mechanism"]

ALLOCATORS: Mapping[str, type[Allocator]] = {
    allocator.mechanism.name: allocator for allocator in (Naive, TicketRows, Range, GroupCommit)
}
DEFAULT_ALLOCATOR = GroupCommit.mechanism.name

# What `serve` takes: the allocators, and the ceiling that a measurement holds them against.
SERVABLE: Mapping[str, type[Allocator]] = {**ALLOCATORS, NoOp.mechanism.name: NoOp}
