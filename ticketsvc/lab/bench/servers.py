"""The services that are measured: ours, started here, and foreign ones that run already."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from yarl import URL

from ticketsvc.allocators import SERVABLE
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.scratch import scratch_database
from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.database import Stage, with_durability
from ticketsvc.lab.bench.meter import family, listeners
from ticketsvc.lab.bench.plan import Contender
from ticketsvc.lab.workload.plan import purchase_url
from ticketsvc.lab.workload.services import Service, start_service

POOL_SIZE = 10


@dataclass(frozen=True)
class Server:
    """A running service: where purchases are posted, its processes, and where it sells.

    *event*: what is bought where no events can be made, for want of a database to make them in.
    """

    url: str
    processes: tuple[int, ...]
    stage: Stage | None
    event: str = ""


def require_loopback(url: str, option: str) -> str:
    """Return *url* back when it leads to this machine; raise `UsageError` otherwise.

    Load is for one's own machine: a name has to resolve to loopback addresses and nothing else.
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


def posted_to(contender: Contender, url: str) -> str:
    """Return the address that is posted to: of a foreign ceiling its own, else `/purchase`."""
    if contender.kind == "peer_ceiling":
        return str(URL(url))
    return str(purchase_url(url))


@contextlib.contextmanager
def running(
    contenders: Sequence[Contender],
    conninfo: str,
    *,
    pool_size: int = POOL_SIZE,
    peer_stage: Stage | None = None,
    peer_event: str = "",
) -> Iterator[Mapping[Contender, Server]]:
    """Start ours on the database *conninfo* names, and find the foreign ones.

    All of them run throughout; the one that is measured works, the others idle.
    """
    stages: dict[tuple[str, SchemaName], Stage] = {}
    servers: dict[Contender, Server] = {}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as side_by_side:
        ours = {
            one: stack.enter_context(_database_of(one, conninfo)) for one in contenders if one.ours
        }
        started = {
            one: side_by_side.submit(_start, one, database, pool_size)
            for one, database in ours.items()
        }
        for starting in started.values():
            stack.callback(_stop, starting)
        for one in contenders:
            if one not in started:
                stage = peer_stage if one.sells else None
                found = tuple(listeners(one.url))
                servers[one] = Server(posted_to(one, one.url), found, stage, peer_event)
                continue
            service = started[one].result()
            place = ours[one], _schema(one)
            if one.sells and place not in stages:
                stages[place] = Stage(*place)
                stack.callback(stages[place].close)
            servers[one] = Server(
                posted_to(one, service.url),
                tuple(family(service.process.pid)),
                stages[place] if one.sells else None,
            )
        yield servers


@contextlib.contextmanager
def _database_of(contender: Contender, conninfo: str) -> Iterator[str]:
    """Yield the common database, or another for an allocator that needs its own constraint."""
    constraint = SERVABLE[contender.name].mechanism.constraint
    if not constraint:
        yield conninfo
        return
    with scratch_database(conninfo, "bench") as alone:
        with psycopg.connect(alone, autocommit=True) as connection:
            connection.execute(constraint.replace("{schema}", _schema(contender)).encode())
        yield alone


def _start(contender: Contender, conninfo: str, pool_size: int) -> Service:
    return start_service(
        with_durability(conninfo, contender.durable),
        contender.name,
        schema=_schema(contender),
        pool_size=pool_size,
        workers=contender.workers,
        access_log=True,  # as it is served: logging is part of what a purchase costs
    )


def _stop(starting: "Future[Service]") -> None:
    if starting.exception() is None:
        starting.result().stop()


def _schema(contender: Contender) -> SchemaName:
    return SERVABLE[contender.name].mechanism.schemas[0]
