"""Choose the candidates: allocators by name, the no-ops, peers by address."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import replace

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.plan import BARE_NOOP, NOOP, Candidate
from ticketsvc.lab.workload.plan import purchase_url


def our_candidates(
    names: Sequence[str], *, durable: bool = True, workers: int = 1, keys: bool = False
) -> list[Candidate]:
    """Return the bare no-op, our no-op, then the allocators *names*, each once.

    The bare no-op is one process: it is left out when *workers* are several. *keys*: allocators
    that claim keys follow a second time, with a key in each purchase. Raise `UsageError` that
    lists the allocators when a name is unknown.
    """
    for name in names:
        if name not in ALLOCATORS:
            raise UsageError(f"--allocator {name!r}: must be one of {', '.join(ALLOCATORS)}")
    noops = [Candidate(NOOP, "noop", workers=workers)]
    if workers == 1:
        noops.insert(0, Candidate(BARE_NOOP, "bare_noop"))
    chosen = [Candidate(name, durable=durable, workers=workers) for name in dict.fromkeys(names)]
    if keys:
        keyed = [one for one in chosen if ALLOCATORS[one.name].mechanism.claims_keys]
        chosen += [replace(one, keys=True) for one in keyed]
    return [*noops, *chosen]


def peer_candidates(urls: Sequence[str]) -> list[Candidate]:
    """Return the peers, each given as URL or NAME=URL.

    Raise `UsageError` when an address is not on this machine, or a name is used twice.
    """
    found = []
    for given in urls:
        name, url = _named(given)
        _require_loopback(url)
        found.append(Candidate(name, "peer", url=url))
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1 or name in ALLOCATORS or name in (NOOP, BARE_NOOP):
            raise UsageError(f"--peer-url: two services are named {name!r}: use NAME=URL")
    return found


def _named(given: str) -> tuple[str, str]:
    name, equals, url = given.partition("=")
    if equals and "/" not in name and name.strip():
        return name.strip(), url
    return f"peer {given.partition('://')[2].rpartition('@')[2].strip('/')}", given


def _require_loopback(url: str) -> None:
    """Raise `UsageError` when *url* leads to another machine.

    Load is for one's own machine: the host must resolve to loopback addresses only.
    """
    try:
        address = purchase_url(url)
        host = address.host or ""
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, address.port or 80)}
        near = all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
    except (UsageError, OSError, ValueError):
        raise UsageError(f"--peer-url {url!r}: must look like http://127.0.0.1:3100") from None
    if not near or address.scheme != "http":
        raise UsageError(
            f"--peer-url {url!r}: only http on a loopback address, 127.0.0.1 or localhost"
        )
