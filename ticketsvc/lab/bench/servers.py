"""Start the services that are measured, and find the peers that run already."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from ticketsvc.allocators import SERVABLE
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.scratch import scratch_database
from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.bare_noop import spawn_bare_noop
from ticketsvc.lab.bench.database import BenchDatabase, with_durability
from ticketsvc.lab.bench.meter import family, listeners
from ticketsvc.lab.bench.plan import Candidate
from ticketsvc.lab.workload.plan import purchase_url
from ticketsvc.lab.workload.services import Service, spawn_service


@dataclass(frozen=True)
class Server:
    """A running service: where purchases are posted, its processes, and where it sells."""

    url: str
    processes: tuple[int, ...]
    database: BenchDatabase | None


def require_loopback(url: str, option: str) -> str:
    """Return *url*; raise `UsageError` when it leads to another machine.

    Load is for one's own machine: the host must resolve to loopback addresses only.
    """
    try:
        address = purchase_url(url)
        host = address.host or ""
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, address.port or 80)}
        near = all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
    except (UsageError, OSError, ValueError):
        raise UsageError(f"{option}: must look like http://127.0.0.1:3100") from None
    if not near or address.scheme != "http":
        raise UsageError(f"{option}: only http on a loopback address, 127.0.0.1 or localhost")
    return url


@contextlib.contextmanager
def running(
    candidates: Sequence[Candidate],
    conninfo: str,
    pool_size: int,
    peer_database: BenchDatabase | None = None,
) -> Iterator[Mapping[Candidate, Server]]:
    """Start our services in the database *conninfo*, and find the peers.

    All of them run throughout: the one that is measured works, the others idle.
    """
    databases: dict[tuple[str, SchemaName], BenchDatabase] = {}
    servers: dict[Candidate, Server] = {}
    with contextlib.ExitStack() as stack:
        conninfos = {
            one: stack.enter_context(_database_of(one, conninfo)) for one in candidates if one.ours
        }
        services = {
            one: stack.enter_context(_spawn(one, conninfos.get(one, ""), pool_size))
            for one in candidates
            if one.kind != "peer"
        }
        for service in services.values():
            stack.callback(service.ask_to_stop)  # all of them before the first is waited for
        for one in candidates:
            if one.kind == "peer":
                processes = tuple(listeners(one.url))
                url = str(purchase_url(one.url))
                servers[one] = Server(url, processes, peer_database)
                continue
            url = services[one].await_ready()
            database = None
            if one.sells:
                place = conninfos[one], _schema(one)
                if place not in databases:
                    databases[place] = BenchDatabase(*place)
                    stack.callback(databases[place].close)
                database = databases[place]
            processes = tuple(family(services[one].process.pid))
            servers[one] = Server(str(purchase_url(url)), processes, database)
        yield servers


@contextlib.contextmanager
def _database_of(candidate: Candidate, conninfo: str) -> Iterator[str]:
    """Yield the common database, or another one for an allocator that adds a constraint."""
    constraint = SERVABLE[candidate.name].mechanism.constraint
    if not constraint:
        yield conninfo
        return
    with scratch_database(conninfo, "bench") as alone:
        with psycopg.connect(alone, autocommit=True) as connection:
            connection.execute(constraint.replace("{schema}", _schema(candidate)).encode())
        yield alone


def _spawn(candidate: Candidate, conninfo: str, pool_size: int) -> Service:
    if candidate.kind == "bare_noop":
        return spawn_bare_noop()
    return spawn_service(
        with_durability(conninfo, candidate.durable),
        candidate.name,
        schema=_schema(candidate),
        pool_size=pool_size,
        workers=candidate.workers,
        access_log=True,  # as in production: the log is part of what a purchase costs
    )


def _schema(candidate: Candidate) -> SchemaName:
    return SERVABLE[candidate.name].mechanism.schemas[0]
