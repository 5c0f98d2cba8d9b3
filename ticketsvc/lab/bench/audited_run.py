"""Run one case once: fresh events, load, what it cost, and whether the ledger agrees."""

from ticketsvc.lab.bench.database import first_violations
from ticketsvc.lab.bench.load_pool import LoadPool
from ticketsvc.lab.bench.load_spec import LoadSpec
from ticketsvc.lab.bench.meter import metering
from ticketsvc.lab.bench.plan import BenchCase
from ticketsvc.lab.bench.servers import Server
from ticketsvc.lab.bench.summary import Measurement, disagreement

NO_EVENT = "bench"
"""What is bought where nothing is sold."""


def run_audited(
    case: BenchCase, server: Server, pool: LoadPool, seconds: float, events: tuple[str, ...] = ()
) -> Measurement:
    """Load *server* for *seconds*, then judge the ledger, and compare it with the clients' count.

    *events*: those to sell; fresh ones are made when none are given. The issued tickets count, not
    the pool's number.
    """
    database = server.database
    if database is not None and not events:
        events = database.make_events(case.events, sold=case.sold)
    spec = LoadSpec(
        url=server.url,
        events=events or (NO_EVENT,),
        quantity=case.quantity,
        connections=case.connections,
        seconds=seconds,
        keys=case.candidate.keys,
    )
    sold_before = database.sold(events) if database else 0
    with metering(database, server.processes) as costs:
        result = pool.run(spec)
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
