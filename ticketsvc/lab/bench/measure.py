"""Measure one case once: fresh events, load, what it cost, and whether the ledger agrees."""

from dataclasses import replace

from ticketsvc.lab.bench.database import Stage, faults_of
from ticketsvc.lab.bench.figures import Measurement, disagreement
from ticketsvc.lab.bench.generators import Generator
from ticketsvc.lab.bench.load_spec import Shot
from ticketsvc.lab.bench.meter import metering
from ticketsvc.lab.bench.plan import Case
from ticketsvc.lab.bench.servers import Server

_NO_EVENT = "bench"


def measure(
    case: Case, server: Server, generator: Generator, seconds: float, events: tuple[str, ...] = ()
) -> Measurement:
    """Fire at *server* for so many *seconds*, and judge what it holds afterwards.

    *events*: those to sell, made beforehand; fresh ones when none are given.
    """
    stage = server.stage
    if stage is not None and not events:
        events = stage.fresh(case.events, sold=case.sold)
    shot = Shot(
        url=server.url,
        events=events or (server.event or _NO_EVENT,),
        quantity=case.quantity,
        connections=case.connections,
        seconds=seconds,
        keys=case.contender.keys,
    )
    sold_before = stage.sold(events) if stage else 0
    with metering(stage, server.processes) as costs:
        fired = generator.fire(shot)
    measured = Measurement(case, fired, "unaudited" if case.contender.sells else "sells nothing")
    purchases = fired.sold
    if stage is not None:
        measured = _audited(measured, stage, events, sold_before)
        purchases = measured.issued_purchases or 0
    return replace(measured, costs=costs.per_purchase(purchases))


def _audited(
    measured: Measurement, stage: Stage, events: tuple[str, ...], sold_before: int
) -> Measurement:
    """Judge the ledger, and hold it against what the generator was told.

    The tickets are counted as they are issued, not as the pool says.
    """
    verdicts = stage.judge(events)
    issued = sum(verdict.issued for verdict in verdicts) - sold_before
    purchases = issued // measured.case.quantity
    faults = faults_of(verdicts)
    if differ := disagreement(measured.fired, purchases):
        faults.append(differ)
    return replace(
        measured,
        audit="not clean" if faults else "clean",
        faults=tuple(faults),
        issued_purchases=purchases,
    )
