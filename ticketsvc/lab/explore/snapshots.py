"""What the ledger holds after a step, as a few numbers."""

from dataclasses import dataclass

from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.ledger.records import EventLedger


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The committed ledger between two steps.

    *duplicates*: issued tickets beyond the first of each number. *consistent*: every ticket
    that has left the stock is issued once. If all processes died at this moment, this is what
    the database would be left with.
    """

    total: int | None
    available: int | None
    issued: int
    duplicates: int
    consistent: bool


def take_snapshot(ledger: EventLedger) -> Snapshot:
    """Return the numbers of *ledger*, judged without the buyers' answers."""
    verdict = check_event(ledger)
    return Snapshot(
        total=ledger.total,
        available=ledger.available,
        issued=verdict.issued,
        duplicates=verdict.issued - verdict.unique,
        consistent=verdict.clean,
    )
