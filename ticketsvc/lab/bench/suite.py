"""A whole run: every case in turn, again and again, and the table that comes of it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.bench import load_pool as buying
from ticketsvc.lab.bench.database import Stage
from ticketsvc.lab.bench.figures import Measurement, summarise
from ticketsvc.lab.bench.generators import Generator, choose_generator
from ticketsvc.lab.bench.load_spec import Shot
from ticketsvc.lab.bench.measure import measure
from ticketsvc.lab.bench.plan import Case, Contender, interleaved
from ticketsvc.lab.bench.servers import POOL_SIZE, Server, running

_WARM_UP_S = 2.0
_WARM_UP_PURCHASES = 200
_WARM_UP_CONNECTIONS = 16


@dataclass(frozen=True)
class Peer:
    """What is known of the foreign services: where they sell, or at least what."""

    database_url: str = field(default="", repr=False)
    schema: str = "public"
    event: str = ""


@dataclass(frozen=True)
class Bench:
    """Services that run, ready to be measured."""

    servers: Mapping[Contender, Server]
    generator: Generator
    seconds: float

    def run(
        self,
        cases: Sequence[Case],
        repetitions: int,
        on_measured: Callable[[], None] = lambda: None,
    ) -> list[Measurement]:
        """Measure every case so many times, taking turns.

        Where tickets are to be sold beforehand, the events are made once and sold on from.
        """
        made: dict[Case, tuple[str, ...]] = {}
        measured = []
        for case in interleaved(cases, repetitions):
            server = self.servers[case.contender]
            if case.sold and server.stage and case not in made:
                made[case] = server.stage.fresh(case.events, sold=case.sold)
            measured.append(measure(case, server, self.generator, self.seconds, made.get(case, ())))
            on_measured()
        return measured

    def table(self, cases: Sequence[Case], repetitions: int = 1) -> list[dict[str, Any]]:
        """Measure, and return one row per case, as `figures.summarise` has it."""
        return summarise(self.run(cases, repetitions))


@contextlib.contextmanager
def open_bench(
    conninfo: str,
    contenders: Sequence[Contender],
    *,
    seconds: float,
    generator: Generator | None = None,
    pool_size: int = POOL_SIZE,
    peer: Peer | None = None,
) -> Iterator[Bench]:
    """Make a database, start the services in it, warm each of them up; undo it all at the end."""
    chosen = generator or choose_generator()
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(scratch_database(conninfo, "bench"))
        stage = stack.enter_context(_peer_stage(peer)) if peer and peer.database_url else None
        servers = stack.enter_context(
            running(
                contenders,
                database,
                pool_size=pool_size,
                peer_stage=stage,
                peer_event=peer.event if peer else "",
            )
        )
        bench = Bench(servers, chosen, seconds)
        for contender, server in servers.items():
            _warm_up(server, keys=contender.keys)
        yield bench


@contextlib.contextmanager
def _peer_stage(peer: Peer) -> Iterator[Stage]:
    stage = Stage(peer.database_url, peer.schema)
    try:
        yield stage
    finally:
        stage.remove()
        stage.close()


def _warm_up(server: Server, *, keys: bool) -> None:
    """Let statements be prepared before anything is measured: so many purchases, soon over."""
    events = server.stage.fresh(1) if server.stage else (server.event or "bench",)
    shot = Shot(
        server.url, events, 8, _WARM_UP_CONNECTIONS, _WARM_UP_S, _WARM_UP_PURCHASES, keys=keys
    )
    buying.fire(shot, most_processes=1)
    if server.stage:
        server.stage.await_quiet()
