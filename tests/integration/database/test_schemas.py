"""Each bad state is refused by the database itself; with its guards dropped, it gets in."""
# ruff: noqa: S608, PLR0917 - statements are of this file's own words; fixtures arrive by name

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.support.locks import blocked_by
from tests.support.waiting import eventually
from ticketsvc.database.schemas import SCHEMAS, ensure_schemas
from ticketsvc.database.seeding import reset_event
from ticketsvc.database.statements import SQL_FOLDER
from ticketsvc.errors import UsageError
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger

# RANGES and ROWS hold tickets 1 to 16 of 80, MIXED a range, rows and a range, FULL 1 to 8 of 8.
STATE = """
INSERT INTO fixed.ticket_pools VALUES
    ('RANGES', 80, 64, 17), ('ROWS', 80, 64, 17), ('MIXED', 80, 56, 25), ('FULL', 8, 0, 9),
    ('EMPTY', 80, 80, 1);
INSERT INTO fixed.ticket_allocations (event_id, user_id, start_ticket, end_ticket) VALUES
    ('RANGES', 'u', 1, 8), ('RANGES', 'u', 9, 16), ('MIXED', 'u', 1, 8), ('FULL', 'u', 1, 8);
INSERT INTO fixed.issued_tickets (event_id, user_id, ticket_number)
    SELECT 'ROWS', 'u', n FROM generate_series(1, 16) AS n;
INSERT INTO fixed.issued_tickets (event_id, user_id, ticket_number)
    SELECT 'MIXED', 'u', n FROM generate_series(9, 16) AS n;
INSERT INTO fixed.ticket_allocations (event_id, user_id, start_ticket, end_ticket) VALUES
    ('MIXED', 'u', 17, 24);
"""


def ranges(event, *spans):
    values = ", ".join(f"('{event}', 'v', {first}, {last})" for first, last in spans)
    columns = "(event_id, user_id, start_ticket, end_ticket)"
    return f"INSERT INTO fixed.ticket_allocations {columns} VALUES {values}"


def rows(event, *numbers):
    values = ", ".join(f"('{event}', 'v', {number})" for number in numbers)
    return f"INSERT INTO fixed.issued_tickets (event_id, user_id, ticket_number) VALUES {values}"


def sale(event, quantity):
    """The pool's side of a sale, so that nothing but the numbers is wrong."""
    return (
        f"UPDATE fixed.ticket_pools SET available = available - {quantity}, "
        f"next_ticket_number = next_ticket_number + {quantity} WHERE event_id = '{event}'"
    )


def pool(changes, event="RANGES"):
    return f"UPDATE fixed.ticket_pools SET {changes} WHERE event_id = '{event}'"


def constraint(table, name):
    return name, f"ALTER TABLE fixed.{table} DROP CONSTRAINT {name}"


def trigger(table, name, reported=None):
    return reported or name, f"DROP TRIGGER {name} ON fixed.{table}"


RANGE_KEY = constraint("ticket_allocations", "ticket_allocations_pkey")
RANGE_FROM_ONE = constraint("ticket_allocations", "ticket_allocations_from_one")
WHOLE_BLOCKS = constraint("ticket_allocations", "ticket_allocations_whole_blocks")
RANGE_SEQUENCE = trigger("ticket_allocations", "issue_in_sequence")
RANGE_UNCHANGED = trigger("ticket_allocations", "issued_for_good")
RANGE_KEPT = trigger("ticket_allocations", "issued_for_good_removal", "issued_for_good")
RANGE_KEPT_ALL = trigger("ticket_allocations", "issued_for_good_all", "issued_for_good")
ROW_KEY = constraint("issued_tickets", "issued_tickets_pkey")
ROW_FROM_ONE = constraint("issued_tickets", "issued_tickets_from_one")
ROW_SEQUENCE = trigger("issued_tickets", "issue_in_sequence")
ROW_UNCHANGED = trigger("issued_tickets", "issued_for_good")
ROW_KEPT = trigger("issued_tickets", "issued_for_good_removal", "issued_for_good")
ROW_KEPT_ALL = trigger("issued_tickets", "issued_for_good_all", "issued_for_good")
AVAILABLE = constraint("ticket_pools", "ticket_pools_available_in_range")
IN_STEP = constraint("ticket_pools", "ticket_pools_in_step")
POOL_OUTLIVES = trigger("ticket_pools", "pool_outlives_tickets")
POOL_OUTLIVES_ALL = trigger("ticket_pools", "pool_outlives_tickets_all", "issued_for_good")
POOL_FITS = trigger("ticket_pools", "pool_fits_tickets")


@dataclass
class Bad:
    """One transaction that would leave a bad state.

    *guards*, in the order in which they speak up: each must refuse it when those before it are
    gone. *found*: what the checker says once all are.
    """

    steps: list[str]
    guards: list[tuple[str, str]]
    found: set[str]


# fmt: off
BAD = {
    # ranges
    "a range overlaps the last one": Bad(
        [sale("RANGES", 8), ranges("RANGES", (13, 20))], [RANGE_SEQUENCE], {"duplicate"}),
    "a range within another": Bad(
        [sale("FULL", 0), ranges("FULL", (1, 8))], [RANGE_KEY], {"duplicate", "oversold", "drift"}),
    "a gap before a range": Bad(
        [sale("RANGES", 8), ranges("RANGES", (25, 32))], [RANGE_SEQUENCE], {"gap"}),
    "a first range that does not start at 1": Bad(
        [sale("EMPTY", 8), ranges("EMPTY", (2, 9))], [RANGE_SEQUENCE], {"gap"}),
    "overlap and gap that cancel out in one insert of ranges": Bad(
        [sale("RANGES", 24), ranges("RANGES", (17, 24), (21, 28), (33, 40))], [RANGE_SEQUENCE],
        {"duplicate", "gap"}),
    "two events in one insert, one of them wrong": Bad(
        [sale("RANGES", 8), sale("EMPTY", 8),
         ranges("RANGES", (17, 24)) + ", ('EMPTY', 'v', 9, 16)"],
        [RANGE_SEQUENCE], {"gap"}),
    "a range beyond the total": Bad(
        [ranges("FULL", (9, 16))], [RANGE_SEQUENCE], {"oversold", "out_of_range", "drift"}),
    "a range below 1": Bad(
        [sale("RANGES", 8), ranges("RANGES", (-7, 0))], [RANGE_FROM_ONE, RANGE_SEQUENCE],
        {"out_of_range"}),
    "a range of an unknown event": Bad([ranges("NONE", (1, 8))], [RANGE_SEQUENCE], {"orphan"}),
    # Seven tickets in sequence break the block rule only, which is no matter of the ledger.
    "a range of 7": Bad([sale("RANGES", 7), ranges("RANGES", (17, 23))], [WHOLE_BLOCKS], set()),
    "a range that runs backwards": Bad([ranges("RANGES", (17, 10))], [WHOLE_BLOCKS], {"backward"}),
    # rows
    "a row issued twice": Bad([sale("ROWS", 1), rows("ROWS", 16)], [ROW_KEY], {"duplicate"}),
    "a gap before a row": Bad([sale("ROWS", 1), rows("ROWS", 18)], [ROW_SEQUENCE], {"gap"}),
    "a gap between rows of one insert": Bad(
        [sale("ROWS", 2), rows("ROWS", 17, 19)], [ROW_SEQUENCE], {"gap"}),
    "overlap and gap that cancel out in one insert of rows": Bad(
        [sale("ROWS", 3), rows("ROWS", 17, 17, 19)], [ROW_KEY], {"duplicate", "gap"}),
    "a row beyond the total": Bad(
        [rows("FULL", 9)], [ROW_SEQUENCE], {"oversold", "out_of_range", "drift"}),
    "a row below 1": Bad(
        [sale("ROWS", 1), rows("ROWS", 0)], [ROW_FROM_ONE, ROW_SEQUENCE], {"out_of_range"}),
    "a row of an unknown event": Bad([rows("NONE", 1)], [ROW_SEQUENCE], {"orphan"}),
    # rows and ranges
    "a range over rows": Bad(
        [sale("ROWS", 8), ranges("ROWS", (9, 16))], [RANGE_SEQUENCE], {"duplicate"}),
    "rows over a range": Bad(
        [sale("RANGES", 2), rows("RANGES", 15, 16)], [ROW_SEQUENCE], {"duplicate"}),
    "a range over rows between ranges": Bad(
        [sale("MIXED", 8), ranges("MIXED", (9, 16))], [RANGE_SEQUENCE], {"duplicate"}),
    "a range and rows in one statement, over each other": Bad(
        [sale("EMPTY", 9), f"WITH issued AS ({ranges('EMPTY', (1, 8))}) {rows('EMPTY', 1)}"],
        [RANGE_SEQUENCE, ROW_SEQUENCE], {"duplicate"}),
    # what is issued stays issued
    "a range's numbers changed": Bad(
        ["UPDATE fixed.ticket_allocations SET start_ticket = 17, end_ticket = 24 "
        "WHERE event_id = 'RANGES' AND start_ticket = 9"],
        [RANGE_UNCHANGED], {"gap"}),
    "a row's number changed": Bad(
        ["UPDATE fixed.issued_tickets SET ticket_number = 18 "
        "WHERE event_id = 'ROWS' AND ticket_number = 16"],
        [ROW_UNCHANGED], {"gap"}),
    "a range taken out": Bad(
        ["DELETE FROM fixed.ticket_allocations WHERE event_id = 'RANGES' AND start_ticket = 1"],
        [RANGE_KEPT], {"gap", "drift"}),
    "a row taken out": Bad(
        ["DELETE FROM fixed.issued_tickets WHERE event_id = 'ROWS' AND ticket_number = 16"],
        [ROW_KEPT], {"drift"}),
    "all ranges taken out": Bad(
        ["TRUNCATE fixed.ticket_allocations"], [RANGE_KEPT_ALL], {"drift", "gap"}),
    "all rows taken out": Bad(["TRUNCATE fixed.issued_tickets"], [ROW_KEPT_ALL], {"drift", "gap"}),
    # the pool
    "available below zero": Bad(
        [pool("available = -8, next_ticket_number = 89")], [AVAILABLE],
        {"negative_stock", "drift"}),
    "available above total": Bad(
        [pool("available = 88, next_ticket_number = -7")], [AVAILABLE], {"drift"}),
    "available alone changed": Bad(
        [pool("available = available - 8")], [IN_STEP], {"drift", "next_number_drift"}),
    "the next number alone changed": Bad(
        [pool("next_ticket_number = 25")], [IN_STEP], {"next_number_drift"}),
    "total alone changed": Bad([pool("total = 88")], [IN_STEP], {"drift", "next_number_drift"}),
    "total lowered below the issued ranges": Bad(
        [pool("total = 8, available = 0, next_ticket_number = 9")], [POOL_FITS],
        {"oversold", "out_of_range", "drift"}),
    "a pool removed under its ranges": Bad(
        ["DELETE FROM fixed.ticket_pools WHERE event_id = 'RANGES'"], [POOL_OUTLIVES], {"orphan"}),
    "a pool renamed under its tickets": Bad(
        [pool("event_id = 'OTHER'")], [POOL_OUTLIVES], {"orphan", "drift"}),
    "all pools removed": Bad(["TRUNCATE fixed.ticket_pools"], [POOL_OUTLIVES_ALL], {"orphan"}),
    "a pool made anew over tickets left behind": Bad(
        ["DELETE FROM fixed.ticket_pools WHERE event_id = 'RANGES'",
         "DELETE FROM fixed.ticket_allocations WHERE event_id = 'RANGES' AND start_ticket = 1",
         "INSERT INTO fixed.ticket_pools VALUES ('RANGES', 80, 72, 9)"],
        [POOL_FITS], {"gap"}),
    "a pool renamed over tickets left behind": Bad(
        ["DELETE FROM fixed.ticket_pools WHERE event_id = 'RANGES'",
         pool("event_id = 'RANGES'", "EMPTY")],
        [POOL_FITS], {"drift"}),
}
# fmt: on


@pytest.fixture(scope="module")
def database(server):
    """One database for this file: making the schemas again is quicker than a clone."""
    with server.clone() as url:
        yield url


@pytest.fixture
def connection(database):
    with psycopg.connect(database, autocommit=True) as opened:
        ensure_schemas(opened, recreate=True)
        yield opened


@pytest.fixture
def holding(connection):
    """A connection to a `fixed` schema that holds `STATE`."""
    connection.execute(STATE)
    assert found(connection) == set()
    return connection


def found(connection):
    verdicts = check(read_ledger(connection, "fixed"))
    return {violation.kind for verdict in verdicts for violation in verdict.violations}


def attempt(connection, steps):
    with connection.transaction():
        for step in steps:
            connection.execute(step)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_state_is_refused_until_its_guards_are_gone(holding, bad):
    for name, removal in bad.guards:
        before = read_ledger(holding, "fixed")
        with pytest.raises(psycopg.IntegrityError) as refusal:
            attempt(holding, bad.steps)
        assert refusal.value.diag.constraint_name == name
        assert read_ledger(holding, "fixed") == before
        holding.execute(removal)
    attempt(holding, bad.steps)
    assert found(holding) == bad.found


def test_every_postgresql_refuses_each_bad_state(every_server):
    with every_server.clone() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(STATE)
        before = read_ledger(connection, "fixed")
        for what, bad in BAD.items():
            with pytest.raises(psycopg.IntegrityError) as refusal:
                attempt(connection, bad.steps)
            assert refusal.value.diag.constraint_name == bad.guards[0][0], what
        assert read_ledger(connection, "fixed") == before


def test_every_guard_of_the_schema_is_proved(connection):
    """No constraint or trigger without a case above, so none can go unnoticed."""
    guards = {
        (table, name)
        for table, name in connection.execute(
            "SELECT relname, conname FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid "
            "WHERE connamespace = 'fixed'::regnamespace AND contype IN ('p', 'u', 'c', 'x', 'f') "
            "UNION SELECT relname, tgname FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid "
            "WHERE relnamespace = 'fixed'::regnamespace AND NOT tgisinternal"
        )
    }
    proved = {removal for bad in BAD.values() for _, removal in bad.guards}
    unproved = {
        (table, name)
        for table, name in guards
        if f"ALTER TABLE fixed.{table} DROP CONSTRAINT {name}" not in proved
        and f"DROP TRIGGER {name} ON fixed.{table}" not in proved
    }
    # A second pool of the same event is refused by its key: see the test below; a second purchase
    # under one key likewise: see test_idempotency.
    assert unproved == {
        ("ticket_pools", "ticket_pools_pkey"),
        ("idempotency_keys", "idempotency_keys_pkey"),
    }


def test_an_event_has_one_pool(holding):
    with pytest.raises(psycopg.errors.UniqueViolation) as refusal:
        holding.execute("INSERT INTO fixed.ticket_pools VALUES ('EMPTY', 8, 8, 1)")
    assert refusal.value.diag.constraint_name == "ticket_pools_pkey"


def test_numbers_in_sequence_are_accepted_as_rows_and_ranges(holding):
    for steps in (
        [sale("MIXED", 8), rows("MIXED", *range(25, 33))],
        [sale("MIXED", 16), ranges("MIXED", (33, 40), (41, 48))],
        [sale("MIXED", 3), rows("MIXED", 51, 49, 50)],
        [sale("EMPTY", 80), ranges("EMPTY", (9, 80), (1, 8))],
        [
            sale("RANGES", 8),
            sale("ROWS", 8),
            ranges("RANGES", (17, 24)) + ", ('ROWS', 'v', 17, 24)",
        ],
    ):
        attempt(holding, steps)
    assert found(holding) == set()


def test_a_row_at_a_time_is_accepted_before_the_pool_is_told(holding):
    for number in range(1, 9):
        holding.execute(rows("EMPTY", number))
    assert found(holding) == {"drift"}
    holding.execute(sale("EMPTY", 8))
    assert found(holding) == set()


def test_copy_is_watched_too(holding):
    copy = "COPY fixed.ticket_allocations (event_id, user_id, start_ticket, end_ticket) FROM STDIN"
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        holding.cursor() as cursor,
        cursor.copy(copy) as sink,
    ):
        sink.write_row(["RANGES", "v", 13, 20])
    assert found(holding) == set()


def test_a_holder_may_change(holding):
    holding.execute("UPDATE fixed.ticket_allocations SET user_id = 'heir'")
    holding.execute("UPDATE fixed.issued_tickets SET user_id = 'heir'")
    assert found(holding) == set()


def test_total_may_grow_and_shrink_within_what_is_left(holding):
    holding.execute(pool("total = total + 8, available = available + 8"))
    holding.execute(pool("total = 16, available = 0"))
    assert found(holding) == set()


def test_reset_is_accepted_alone_and_inside_a_transaction(holding):
    for event in ("RANGES", "ROWS", "MIXED", "FULL", "NEW"):
        reset_event(holding, "fixed", event, 40, 16)
        with holding.transaction():
            reset_event(holding, "fixed", event, 24, 8)
            reset_event(holding, "fixed", event, 16)
        (ledger,) = read_ledger(holding, "fixed", event)
        assert (ledger.total, ledger.available, ledger.issues) == (16, 16, [])
    assert found(holding) == set()


def test_an_event_may_go_with_its_tickets(holding):
    with holding.transaction():
        holding.execute("DELETE FROM fixed.ticket_pools")
        holding.execute("DELETE FROM fixed.issued_tickets")
        holding.execute("DELETE FROM fixed.ticket_allocations")
    assert read_ledger(holding, "fixed") == []


def test_the_view_gives_every_ticket_once(holding):
    tickets = holding.execute(
        "SELECT event_id, count(*), min(ticket_number), max(ticket_number) "
        "FROM fixed.tickets GROUP BY event_id ORDER BY event_id"
    ).fetchall()
    assert tickets == [
        ("FULL", 8, 1, 8),
        ("MIXED", 24, 1, 24),
        ("RANGES", 16, 1, 16),
        ("ROWS", 16, 1, 16),
    ]


def test_a_sale_is_a_hot_update(holding):
    """The pool row stays in its page: no index entry is written, however much is sold."""
    holding.execute("SELECT pg_stat_force_next_flush()")
    before = hot_updates(holding)
    for _ in range(50):
        holding.execute(sale("EMPTY", 1))
    holding.execute("SELECT pg_stat_force_next_flush()")
    after = hot_updates(holding)
    assert (after[0] - before[0], after[1] - before[1]) == (50, 50)


def hot_updates(connection):
    return connection.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
        "WHERE schemaname = 'fixed' AND relname = 'ticket_pools'"
    ).fetchone()


# Two transactions that write by hand, without touching the pool.
SAME = {"ranges": ranges("EMPTY", (1, 8)), "rows": rows("EMPTY", *range(1, 9))}
OFFSET = {"ranges": ranges("EMPTY", (5, 12)), "rows": rows("EMPTY", *range(5, 13))}
NEXT = {"ranges": ranges("EMPTY", (9, 16)), "rows": rows("EMPTY", *range(9, 17))}

LOCK_ONLY = """
CREATE OR REPLACE FUNCTION fixed.lock_total(p_event varchar) RETURNS integer LANGUAGE sql AS $$
    SELECT total FROM fixed.ticket_pools WHERE event_id = p_event FOR NO KEY UPDATE
$$"""
NO_LOCK = """
CREATE OR REPLACE FUNCTION fixed.lock_total(p_event varchar) RETURNS integer LANGUAGE sql AS $$
    SELECT total FROM fixed.ticket_pools WHERE event_id = p_event
$$"""


@pytest.fixture
def two(database, holding):
    """Two more connections, whose transactions the test ends."""
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        yield one, other
        for connection in (one, other):
            connection.rollback()


@contextlib.contextmanager
def waiting(watch, blocked, blocking, query):
    """Run *query* on *blocked*; go on once it is seen to wait for *blocking*."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(blocked.execute, query)
        try:
            eventually(lambda: answer.done() or blocked_by(watch, blocking))
            assert not answer.done(), "the second writer did not wait"
            yield answer
        finally:
            blocking.rollback()


@pytest.mark.parametrize(
    ("first", "second", "overlapping"),
    [
        ("ranges", "ranges", SAME),
        ("rows", "rows", OFFSET),
        ("ranges", "rows", OFFSET),
        ("rows", "ranges", SAME),
    ],
)
def test_of_two_overlapping_inserts_the_second_waits_and_is_refused(
    holding, two, first, second, overlapping
):
    one, other = two
    one.execute(SAME[first])
    with waiting(holding, other, one, overlapping[second]) as answer:
        one.commit()
        with pytest.raises(psycopg.IntegrityError) as refusal:
            answer.result()
    key = {"ranges": "ticket_allocations_pkey", "rows": "issued_tickets_pkey"}
    assert refusal.value.diag.constraint_name in (key[second], "issue_in_sequence")
    other.rollback()
    assert found(holding) == {"drift"}  # the pool was never told, and nothing else is wrong


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(SAME)])
@pytest.mark.parametrize(("queries", "end"), [(SAME, "rollback"), (NEXT, "commit")])
def test_one_that_overlaps_nothing_committed_waits_and_gets_in(
    holding, two, first, second, queries, end
):
    one, other = two
    one.execute(SAME[first])
    with waiting(holding, other, one, queries[second]) as answer:
        getattr(one, end)()
        answer.result()
    other.commit()
    assert found(holding) == {"drift"}


@pytest.mark.parametrize(("first", "second"), [("ranges", "rows"), ("rows", "ranges")])
def test_without_the_lock_rows_and_ranges_get_in_over_each_other(holding, two, first, second):
    holding.execute(NO_LOCK)
    one, other = two
    one.execute(SAME[first])
    other.execute(SAME[second])
    one.commit()
    other.commit()
    assert "duplicate" in found(holding)


@pytest.mark.parametrize(
    ("level", "first", "second"),
    [
        (IsolationLevel.REPEATABLE_READ, "ranges", "rows"),
        (IsolationLevel.SERIALIZABLE, "rows", "ranges"),
    ],
)
def test_a_stale_snapshot_cannot_write_over_what_it_does_not_see(
    holding, two, level, first, second
):
    _, stale = two
    stale.isolation_level = level
    stale.execute("SELECT FROM fixed.tickets")
    holding.execute(SAME[first])
    with pytest.raises(psycopg.errors.SerializationFailure):
        stale.execute(SAME[second])
    stale.rollback()
    assert found(holding) == {"drift"}


def test_with_a_lock_alone_a_stale_snapshot_can(holding, two):
    holding.execute(LOCK_ONLY)
    _, stale = two
    stale.isolation_level = IsolationLevel.REPEATABLE_READ
    stale.execute("SELECT FROM fixed.tickets")
    holding.execute(SAME["ranges"])
    stale.execute(SAME["rows"])
    stale.commit()
    assert "duplicate" in found(holding)


def test_total_cannot_be_lowered_under_an_open_insert(holding, two):
    one, other = two
    one.execute(SAME["ranges"])
    lowered = pool("total = 0, available = 0, next_ticket_number = 1", "EMPTY")
    with waiting(holding, other, one, lowered) as answer:
        one.commit()
        with pytest.raises(psycopg.IntegrityError) as refusal:
            answer.result()
    assert refusal.value.diag.constraint_name == "pool_fits_tickets"


def test_an_insert_does_not_outlive_a_pool_removed_meanwhile(holding, two):
    one, other = two
    one.execute("DELETE FROM fixed.ticket_pools WHERE event_id = 'EMPTY'")
    with waiting(holding, other, one, SAME["rows"]) as answer:
        one.commit()
        with pytest.raises(psycopg.IntegrityError) as refusal:
            answer.result()
    assert refusal.value.diag.constraint_name == "issue_in_sequence"


def test_original_refuses_nothing(connection):
    """The negative control of the whole schema: as it was, every bad state gets in."""
    insert = "INSERT INTO original.issued_tickets (event_id, user_id, ticket_number) VALUES "
    connection.execute("INSERT INTO original.ticket_pools VALUES ('E', 8, -8)")
    connection.execute(insert + "('E', 'u', 1), ('E', 'u', 1), ('E', 'u', 99), ('X', 'u', 1)")
    verdicts = check(read_ledger(connection, "original"))
    kinds = {violation.kind for verdict in verdicts for violation in verdict.violations}
    assert kinds == {"negative_stock", "drift", "duplicate", "gap", "out_of_range", "orphan"}


# Creating


def test_schemas_are_made_once(connection):
    reset_event(connection, "fixed", "E", 8)
    ensure_schemas(connection)
    assert [ledger.event for ledger in read_ledger(connection, "fixed")] == ["E"]


def test_recreate_starts_over(connection):
    for schema in SCHEMAS:
        reset_event(connection, schema, "E", 80, 16)
    ensure_schemas(connection, recreate=True)
    assert [read_ledger(connection, schema) for schema in SCHEMAS] == [[], []]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_of_another_make_is_left_alone(connection, schema):
    connection.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
    connection.execute(f"CREATE TABLE {schema}.theirs (id integer)")
    with pytest.raises(UsageError, match=schema):
        ensure_schemas(connection)
    connection.execute(f"SELECT FROM {schema}.theirs")


def test_two_commands_may_make_them_at_once(server):
    with server.clone("template1") as url, psycopg.connect(url) as one:
        ensure_schemas(one)
        with ThreadPoolExecutor(1) as thread, psycopg.connect(url, autocommit=True) as other:
            second = thread.submit(ensure_schemas, other)
            one.commit()
            second.result()
            assert read_ledger(other, "fixed") == read_ledger(other, "original") == []


def test_the_schema_for_citus_drops_every_trigger(connection):
    """Citus does not split a table that has one; here the tests run without Citus."""
    dropping, *_ = (SQL_FOLDER / "citus.sql").read_text().partition(";")
    connection.execute(dropping)
    triggers = "SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal"
    assert connection.execute(triggers).fetchall() == []
