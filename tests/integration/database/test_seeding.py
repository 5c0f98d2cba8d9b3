import pytest

from ticketsvc.database.schemas import SCHEMAS
from ticketsvc.database.seeding import reset_event, seed_six_events
from ticketsvc.errors import UsageError
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger

# The original's own figures: total and available.
FIGURES = {
    "EVENT001": (5000, 4800),
    "EVENT002": (3000, 2920),
    "EVENT003": (2500, 2340),
    "EVENT004": (1500, 1500),
    "EVENT005": (2000, 1976),
    "EVENT006": (4000, 3200),
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_six_events(connection, schema):
    seed_six_events(connection, schema)
    ledgers = read_ledger(connection, schema)
    assert {ledger.event: (ledger.total, ledger.available) for ledger in ledgers} == FIGURES
    assert all(verdict.clean for verdict in check(ledgers))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_sold_tickets_are_held_8_to_a_user_and_seeding_again_starts_over(connection, schema):
    seed_six_events(connection, schema)
    once = read_ledger(connection, schema)
    for ledger in once:
        held = {}
        for issue in ledger.issues:
            held.setdefault(issue.user, []).extend(range(issue.first, issue.last + 1))
        sold = range(1, ledger.total - ledger.available + 1, 8)
        assert {user: sorted(numbers) for user, numbers in held.items()} == {
            f"user_{first // 8 + 1}_{ledger.event}": list(range(first, first + 8)) for first in sold
        }
    reset_event(connection, schema, "EVENT001", 16, 16)
    assert read_ledger(connection, schema)[1:] == once[1:]
    seed_six_events(connection, schema)
    assert read_ledger(connection, schema) == once


@pytest.mark.parametrize("schema", SCHEMAS)
def test_reset_one(connection, schema):
    for total, sold in ((8, 0), (0, 0), (7, 0), (80, 80), (2_000_000_000, 8)):
        reset_event(connection, schema, "E", total, sold)
        (verdict,) = check(read_ledger(connection, schema))
        assert verdict.clean
        assert (verdict.total, verdict.available, verdict.issued) == (total, total - sold, sold)


NONSENSE = [
    *(("E", -1, 0), ("E", 2_000_000_001, 0), ("E", 80, 7), ("E", 8, 16), ("E", 8, -8)),
    *(("", 8, 0), ("E" * 51, 8, 0), ("E\0", 8, 0)),
]


def test_reset_refuses_nonsense(connection):
    for event, total, sold in NONSENSE:
        with pytest.raises(UsageError):
            reset_event(connection, "fixed", event, total, sold)
    assert read_ledger(connection, "fixed") == []


def test_a_repaired_event_whose_tickets_point_to_its_pool_is_seeded_again(connection):
    reset_event(connection, "original", "E", 80, 8)
    connection.execute(
        "ALTER TABLE original.issued_tickets"
        " ADD FOREIGN KEY (event_id) REFERENCES original.ticket_pools (event_id)"
    )
    reset_event(connection, "original", "E", 80, 16)
    [ledger] = read_ledger(connection, "original")
    assert ledger.available == 64
