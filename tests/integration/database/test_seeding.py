import pytest

from ticketsvc.database.schemas import SCHEMAS, SIX_EVENTS, reset_event, seed_six_events
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
NAMES = [
    "Summer Music Festival",
    "Tech Conference",
    "Food & Wine Expo",
    "Comedy Night",
    "Art Gallery Opening",
    "Rock Concert",
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_six_events(any_connection, schema):
    seed_six_events(any_connection, schema)
    ledgers = read_ledger(any_connection, schema)
    assert {ledger.event: (ledger.total, ledger.available) for ledger in ledgers} == FIGURES
    assert all(verdict.clean for verdict in check(ledgers))


def test_names():
    assert [seed.name for seed in SIX_EVENTS] == NAMES


@pytest.mark.parametrize("schema", SCHEMAS)
def test_sold_tickets_are_held_8_to_a_user(connection, schema):
    seed_six_events(connection, schema)
    held = {}
    for ledger in read_ledger(connection, schema):
        for issue in ledger.issues:
            held.setdefault((ledger.event, issue.user), []).extend(
                range(issue.first, issue.last + 1)
            )
    for event, (total, available) in FIGURES.items():
        for k in range(1, (total - available) // 8 + 1):
            assert sorted(held.pop((event, f"user_{k}_{event}"))) == list(
                range(8 * k - 7, 8 * k + 1)
            )
    assert not held


@pytest.mark.parametrize("schema", SCHEMAS)
def test_seeding_again_starts_over(connection, schema):
    seed_six_events(connection, schema)
    once = read_ledger(connection, schema)
    reset_event(connection, schema, "EVENT001", 16, 16)
    seed_six_events(connection, schema)
    assert read_ledger(connection, schema) == once


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(("total", "sold"), [(8, 0), (0, 0), (7, 0), (80, 80), (2_000_000_000, 8)])
def test_reset_one(connection, schema, total, sold):
    reset_event(connection, schema, "E", total, sold)
    (verdict,) = check(read_ledger(connection, schema))
    assert verdict.clean
    assert (verdict.total, verdict.available, verdict.issued) == (total, total - sold, sold)


@pytest.mark.parametrize(
    ("event", "total", "sold"),
    [
        ("E", -1, 0),
        ("E", 2_000_000_001, 0),
        ("E", 80, 7),
        ("E", 8, 16),
        ("E", 8, -8),
        ("", 8, 0),
        ("E" * 51, 8, 0),
        ("E\0", 8, 0),
    ],
)
def test_reset_refuses_nonsense(connection, event, total, sold):
    with pytest.raises(UsageError):
        reset_event(connection, "fixed", event, total, sold)
    assert read_ledger(connection, "fixed") == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_reset_leaves_the_other_events_alone(connection, schema):
    seed_six_events(connection, schema)
    before = read_ledger(connection, schema, "EVENT002")
    reset_event(connection, schema, "EVENT001", 8)
    assert read_ledger(connection, schema, "EVENT002") == before
