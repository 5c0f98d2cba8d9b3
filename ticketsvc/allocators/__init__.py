"""The allocators: one file per mechanism, one protocol, one registry.

Shared parts: `check_then_act` has the three statements that several mechanisms use, and
`conditional_update` explains why the two conditional updates reserved nothing. `event_queue` holds
the data of `group_commit`.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping

from ticketsvc.allocators.protocol import Allocator, Mechanism
from ticketsvc.errors import UsageError

__all__ = ["ALLOCATORS", "DEFAULT_ALLOCATOR", "SERVABLE", "Allocator", "Mechanism"]

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


def _find() -> Iterator[type[Allocator]]:
    """Return every class with a mechanism of its own in the modules of this package."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for one in vars(importlib.import_module(module.name)).values():
            if getattr(one, "__module__", "") == module.name and "mechanism" in vars(one):
                yield one


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _by_name(found: Iterable[type[Allocator]]) -> dict[str, type[Allocator]]:
    """Return *found* by name; raise `UsageError` when two have the same."""
    named: dict[str, type[Allocator]] = {}
    for one in found:
        other = named.setdefault(one.mechanism.name, one)
        if other is not one:
            files = f"{other.__module__} and {one.__module__}"
            raise UsageError(f"two allocators are named {one.mechanism.name!r}: {files}")
    return named


_FOUND = _by_name(_find())
ALLOCATORS: Mapping[str, type[Allocator]] = {
    name: _FOUND[name] for name in sorted(_FOUND, key=_place) if name != _NOOP
}

# What `serve` accepts: the allocators, and the no-op that measurements compare them with.
SERVABLE: Mapping[str, type[Allocator]] = {**ALLOCATORS, _NOOP: _FOUND[_NOOP]}
