"""Start the services that are measured, and find the peers that run already."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ticketsvc.allocators import SERVABLE
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.bench.database import BenchDatabase, with_durability
from ticketsvc.lab.bench.meter import family, listeners
from ticketsvc.lab.bench.plan import Candidate
from ticketsvc.lab.workload.plan import purchase_url
from ticketsvc.lab.workload.services import Service, spawn, spawn_service


@dataclass(frozen=True)
class Server:
    """A running service: where purchases are posted, its processes, and where it sells."""

    url: str
    processes: Sequence[int]
    database: BenchDatabase | None


@contextlib.contextmanager
def running(
    candidates: Sequence[Candidate],
    conninfo: str,
    pool_size: int,
    peer_database: BenchDatabase | None,
) -> Iterator[Mapping[Candidate, Server]]:
    """Start our services in the database *conninfo*, and find the peers.

    All of them run throughout: the one that is measured works, the others idle.
    """
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

        @cache
        def opened(conninfo: str, schema: str) -> BenchDatabase:
            return stack.enter_context(contextlib.closing(BenchDatabase(conninfo, schema)))

        def found(one: Candidate) -> Server:
            if one.kind == "peer":
                return Server(str(purchase_url(one.url)), listeners(one.url), peer_database)
            url = services[one].await_ready()
            database = opened(conninfos[one], _schema(one)) if one.sells else None
            return Server(str(purchase_url(url)), family(services[one].process.pid), database)

        yield {one: found(one) for one in candidates}


def _database_of(candidate: Candidate, conninfo: str) -> contextlib.AbstractContextManager[str]:
    """Return the common database, or another one for an allocator that adds a constraint."""
    constraint = SERVABLE[candidate.name].mechanism.constraint
    if not constraint:
        return contextlib.nullcontext(conninfo)
    schema = _schema(candidate)
    return scratch_database(conninfo, "bench", [constraint.replace("{schema}", schema)])


def _spawn(candidate: Candidate, conninfo: str, pool_size: int) -> Service:
    if candidate.kind == "bare_noop":
        return spawn([sys.executable, "-m", "ticketsvc.lab.bench.bare_noop"], {})
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
