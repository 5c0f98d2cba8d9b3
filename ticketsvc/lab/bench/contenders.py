"""Who takes part: allocators by name, the ceiling, foreign services by address."""

from collections.abc import Sequence
from dataclasses import replace

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.plan import CEILING, Contender
from ticketsvc.lab.bench.servers import require_loopback


def right_allocators() -> tuple[str, ...]:
    """Name those that never oversell."""
    return tuple(name for name, one in ALLOCATORS.items() if one.mechanism.safe)


def ours(
    names: Sequence[str], *, durable: bool = True, workers: int = 1, keys: bool = False
) -> list[Contender]:
    """Return the ceiling, then the allocators of these names, each once.

    *keys*: those that claim keys a second time, with a key in each purchase.
    Raise `UsageError` that names the others when there is none of the name.
    """
    for name in names:
        if name not in ALLOCATORS:
            raise UsageError(f"--allocator {name!r}: must be one of {', '.join(ALLOCATORS)}")
    ceiling = Contender(CEILING, "ceiling", workers=workers)
    chosen = [Contender(name, durable=durable, workers=workers) for name in dict.fromkeys(names)]
    if keys:
        keyed = [one for one in chosen if ALLOCATORS[one.name].mechanism.claims_keys]
        chosen += [replace(one, keys=True) for one in keyed]
    return [ceiling, *chosen]


def foreign(urls: Sequence[str], noop_url: str | None) -> list[Contender]:
    """Return the foreign services, each as URL or NAME=URL, and the ceiling of theirs.

    Raise `UsageError` when an address is not on this machine, or a name is used twice.
    """
    found = []
    for given in urls:
        name, url = _named(given)
        found.append(Contender(name, "peer", url=require_loopback(url, f"--peer-url {url!r}")))
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1 or name in ALLOCATORS or name == CEILING:
            raise UsageError(f"--peer-url: two services are called {name!r}: say NAME=URL")
    if noop_url:
        if not found:
            raise UsageError("--peer-noop-url goes with --peer-url: whose ceiling is it?")
        require_loopback(noop_url, f"--peer-noop-url {noop_url!r}")
        found.append(Contender("peer noop", "peer_ceiling", url=noop_url))
    return found


def _named(given: str) -> tuple[str, str]:
    name, equals, url = given.partition("=")
    if equals and "/" not in name and name.strip():
        return name.strip(), url
    return f"peer {given.partition('://')[2].rpartition('@')[2].strip('/')}", given
