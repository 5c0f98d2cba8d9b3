"""Run one case once: fresh events, load, what it cost, and whether the ledger agrees."""

from dataclasses import replace

from ticketsvc.lab.bench.database import BenchDatabase, first_violations
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
    """Load *server* for *seconds*, then judge the ledger.

    *events*: those to sell; fresh ones are made when none are given.
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
    measurement = Measurement(case, result, "sells nothing")
    purchases = result.sold
    if database is not None:
        measurement = _audited(measurement, database, events, sold_before)
        purchases = measurement.issued_purchases or 0
    return replace(measurement, costs=costs.per_purchase(purchases), events=events)


def _audited(
    measurement: Measurement, database: BenchDatabase, events: tuple[str, ...], sold_before: int
) -> Measurement:
    """Judge the ledger, and compare it with what the clients counted.

    The issued tickets count, not the pool's number.
    """
    verdicts = database.judge(events)
    issued = sum(verdict.issued for verdict in verdicts) - sold_before
    purchases = issued // measurement.case.quantity
    violations = first_violations(verdicts)
    if difference := disagreement(measurement.result, purchases):
        violations.append(difference)
    return replace(
        measurement,
        audit="violated" if violations else "clean",
        violations=tuple(violations),
        issued_purchases=purchases,
    )
