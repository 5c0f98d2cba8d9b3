"""Measure every case in turn, several times: fresh events, load, what it cost, and the audit."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.bench.database import BenchDatabase, first_violations
from ticketsvc.lab.bench.load_pool import LoadPool, load_pool
from ticketsvc.lab.bench.load_spec import LoadSpec
from ticketsvc.lab.bench.meter import metering
from ticketsvc.lab.bench.plan import BenchCase, Candidate
from ticketsvc.lab.bench.servers import Server, running
from ticketsvc.lab.bench.summary import Measurement, disagreement
from ticketsvc.lab.cell_progress import counted

_NO_EVENT = "bench"  # what is bought where nothing is sold
_WARM_UP_S = 0.5
_WARM_UP_PURCHASES = 10  # for each connection: psycopg prepares a statement at its sixth use
_WARM_UP_CONNECTIONS = 16


@dataclass(frozen=True)
class Bench:
    """Running services, ready to be measured."""

    servers: Mapping[Candidate, Server]
    pool: LoadPool
    seconds: float

    def run(
        self,
        cases: Sequence[BenchCase],
        repetitions: int,
        on_measured: Callable[[], None] = lambda: None,
    ) -> list[Measurement]:
        """Measure every case *repetitions* times, in turns.

        Events with tickets sold beforehand are made once, and sold from in every repetition.
        """
        made: dict[BenchCase, tuple[str, ...]] = {}
        measured = []
        with counted("measurements", len(cases) * repetitions) as count:
            for case in [*cases] * repetitions:  # A B C A B C: a slow minute affects all alike
                measured.append(self.measure(case, made.get(case, ())))
                if case.sold:
                    made[case] = measured[-1].events
                on_measured()
                count()
        return measured

    def measure(self, case: BenchCase, events: tuple[str, ...] = ()) -> Measurement:
        """Load a server, then judge the ledger, and compare it with what the clients counted.

        *events*: those to sell; fresh ones are made when none are given. The issued tickets count,
        not the pool's number.
        """
        server = self.servers[case.candidate]
        database = server.database
        if database is not None and not events:
            events = database.make_events(case.events, sold=case.sold)
        spec = LoadSpec(
            url=server.url,
            events=events or (_NO_EVENT,),
            quantity=case.quantity,
            connections=case.connections,
            seconds=self.seconds,
            keys=case.candidate.keys,
        )
        sold_before = database.sold(events) if database else 0
        with metering(database, server.processes) as costs:
            result = self.pool.run(spec)
        if database is None:
            return Measurement(case, result, costs=costs.per_purchase(result.sold))
        verdicts = database.judge(events)
        purchases = (sum(verdict.issued for verdict in verdicts) - sold_before) // case.quantity
        violations = first_violations(verdicts)
        if difference := disagreement(result, purchases):
            violations.append(difference)
        return Measurement(
            case, result, tuple(violations), purchases, costs.per_purchase(purchases), events
        )


@contextlib.contextmanager
def open_bench(
    conninfo: str,
    candidates: Sequence[Candidate],
    *,
    seconds: float,
    pool_size: int = 10,
    peers_at: tuple[str, str] | None = None,
) -> Iterator[Bench]:
    """Create a database, start services and load workers, and warm up; remove all at the end.

    *pool_size*: connections of each process of ours to the database, whose limit all of them share.
    *peers_at*: the database and the schema in which the peers sell.
    """
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(load_pool())
        database = stack.enter_context(scratch_database(conninfo, "bench"))
        peer_database = None
        if peers_at:
            peer_database = stack.enter_context(contextlib.closing(BenchDatabase(*peers_at)))
            stack.callback(peer_database.remove)
        servers = stack.enter_context(running(candidates, database, pool_size, peer_database))
        for candidate, server in servers.items():
            purchases = _WARM_UP_PURCHASES * pool_size * candidate.workers
            _warm_up(server, pool, purchases, keys=candidate.keys)
        yield Bench(servers, pool, seconds)


def _warm_up(server: Server, pool: LoadPool, purchases: int, *, keys: bool) -> None:
    """Send a few purchases, so that statements are prepared before anything is measured."""
    events = server.database.make_events(1) if server.database else (_NO_EVENT,)
    spec = LoadSpec(server.url, events, 8, _WARM_UP_CONNECTIONS, _WARM_UP_S, purchases, keys=keys)
    pool.run(spec)
    if server.database:
        server.database.await_quiet()
