"""Reading ledgers that are not ours, and saying so when that cannot be done."""

import psycopg
import pytest
from psycopg import sql

from tests.support.clusters import login
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import LedgerUnreadable, present_schemas, read_ledger
from ticketsvc.lab.ledger.records import EventLedger, Issue

POOLS = """CREATE TABLE ticket_pools (
    event_id varchar(50) PRIMARY KEY, total integer, available integer)"""
POOLS_WITH_NEXT = """CREATE TABLE ticket_pools (
    event_id varchar(50) PRIMARY KEY, total integer, available integer,
    next_ticket_number integer)"""
TICKETS = """CREATE TABLE issued_tickets (
    id serial PRIMARY KEY, event_id varchar(50), user_id varchar(50), ticket_number integer,
    created_at timestamp)"""
RANGES = """CREATE TABLE ticket_allocations (
    id serial PRIMARY KEY, event_id varchar(50), user_id varchar(50), start_ticket integer,
    end_ticket integer)"""
FILL = """INSERT INTO issued_tickets (event_id, user_id, ticket_number)
    SELECT 'E', 'u', n FROM generate_series(1, 8) AS n"""


def test_the_originals_tables_elsewhere(connection):
    connection.execute(POOLS)
    connection.execute(TICKETS)
    connection.execute("INSERT INTO ticket_pools VALUES ('E', 16, 8), ('F', 8, 8)")
    connection.execute(FILL)
    ledgers = read_ledger(connection, "public")
    assert ledgers == [
        EventLedger("E", 16, 8, None, [Issue("u", n, n) for n in range(1, 9)]),
        EventLedger("F", 8, 8, None, []),
    ]
    assert all(verdict.clean for verdict in check(ledgers))


POOL = "INSERT INTO ticket_pools VALUES ('E', "
RANGE = """INSERT INTO ticket_allocations (event_id, user_id, start_ticket, end_ticket)
    VALUES ('E', 'v', 9, 16)"""
# Statements, the tickets issued of each event, and the violations.
FOREIGN = {
    "a next number that drifts": (
        [POOLS_WITH_NEXT, TICKETS, POOL + "16, 8, 10)", FILL],
        *([8], {"next_number_drift"}),
    ),
    "rows and ranges": (
        [POOLS_WITH_NEXT, TICKETS, RANGES, POOL + "24, 8, 17)", FILL, RANGE],
        *([16], set()),
    ),
    "duplicates, and tickets of no event": (
        [POOLS, TICKETS, POOL + "8, -8)", FILL, FILL, FILL.replace("'E'", "'LOST'")],
        *([16, 8], {"oversold", "duplicate", "negative_stock", "orphan"}),
    ),
    "numbers of type numeric": (
        [
            POOLS.replace("integer", "numeric(9, 2)"),
            TICKETS.replace("number integer", "number numeric"),
            *(POOL + "16, 8)", FILL),
        ],
        *([8], set()),
    ),
    "events of type char(n)": (
        [POOLS.replace("varchar(50)", "char(20)"), TICKETS, POOL + "16, 8)", FILL],
        *([8], set()),
    ),
    "a pool without a total": (
        [POOLS.replace("total integer,", ""), TICKETS, POOL + "-8)", FILL],
        *([8], {"negative_stock"}),
    ),
}


@pytest.mark.parametrize(("statements", "issued", "kinds"), FOREIGN.values(), ids=FOREIGN)
def test_a_ledger_that_is_not_ours_is_judged(connection, statements, issued, kinds):
    for statement in statements:
        connection.execute(statement)
    verdicts = check(read_ledger(connection, "public"))
    assert [verdict.issued for verdict in verdicts] == issued
    assert {one.kind for verdict in verdicts for one in verdict.violations} == kinds


def test_one_event_alone(connection):
    reset_event(connection, "fixed", "E", 80, 8)
    reset_event(connection, "fixed", "F", 80, 8)
    assert [ledger.event for ledger in read_ledger(connection, "fixed", "F")] == ["F"]
    assert read_ledger(connection, "fixed", "G") == []
    assert read_ledger(connection, "fixed", "F' OR '1'='1") == []


def test_any_schema_name(connection):
    name = 'Their "schema"; drop'
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(name)))
    connection.execute(POOLS)
    connection.execute(TICKETS)
    connection.execute("INSERT INTO ticket_pools VALUES ('E', 8, 8)")
    assert [ledger.event for ledger in read_ledger(connection, name)] == ["E"]


def test_reading_needs_no_right_to_write(database, connection):
    reset_event(connection, "original", "E", 8, 8)
    connection.execute("SET default_transaction_read_only = on")
    assert len(read_ledger(connection, "original")[0].issues) == 8


def test_rows_and_pool_are_of_one_moment(database, connection):
    """A sale between two reads would look like drift; one snapshot shows none."""
    reset_event(connection, "fixed", "E", 80)
    isolation = []

    class Watching(psycopg.Cursor):
        def execute(self, query, *args, **kwargs):
            result = super().execute(query, *args, **kwargs)
            if b"issued_tickets" in (query if isinstance(query, bytes) else query.encode()):
                with psycopg.connect(database, autocommit=True) as seller:
                    isolation.append(seller.execute("SELECT 1").fetchone())
                    reset_event(seller, "fixed", "E", 80, 16)
            return result

    connection.cursor_factory = Watching
    (ledger,) = read_ledger(connection, "fixed")
    assert isolation, "nothing was sold in between"
    assert check([ledger])[0].clean
    assert ledger.issues == []


TICKET = "INSERT INTO issued_tickets (event_id, user_id, ticket_number) VALUES "
UNREADABLE = {
    "no tables at all": [],
    "no tickets": [POOLS],
    "no pools": [TICKETS],
    "a pool without stock": [POOLS.replace("total integer, available", "kept"), TICKETS],
    "tickets without a number": [POOLS, TICKETS.replace("ticket_number integer,", "")],
    "numbers of text": [
        POOLS,
        TICKETS.replace("ticket_number integer", "ticket_number text"),
        TICKET + "('E', 'u', 'A-1')",
    ],
    "a ticket whose number is NULL": [POOLS, TICKETS, TICKET + "('E', 'u', NULL)"],
    "a ticket whose event is NULL": [POOLS, TICKETS, TICKET + "(NULL, 'u', 1)"],
    "a number with a fraction": [
        POOLS,
        TICKETS.replace("number integer", "number numeric"),
        TICKET + "('E', 'u', 1.5)",
    ],
    "two pools of one event": [
        POOLS.replace(" PRIMARY KEY", ""),
        TICKETS,
        "INSERT INTO ticket_pools VALUES ('E', 8, 8), ('E', 8, 8)",
    ],
    "a pool whose total is NULL": [POOLS, TICKETS, "INSERT INTO ticket_pools VALUES ('E')"],
    "events that are numbers": [
        POOLS.replace("event_id varchar(50)", "event_id integer"),
        TICKETS.replace("event_id varchar(50)", "event_id integer"),
        "INSERT INTO ticket_pools VALUES (1, 8, 8)",
    ],
    "half of the range columns": [POOLS, TICKETS, RANGES.replace(",\n    end_ticket integer", "")],
}


@pytest.mark.parametrize("statements", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_never_called_clean(connection, statements):
    for statement in statements:
        connection.execute(statement)
    with pytest.raises(LedgerUnreadable, match="public"):
        read_ledger(connection, "public")


@pytest.mark.parametrize("value", ["8.5", "-0.4", "NaN"])
def test_a_pools_number_that_is_not_an_integer_is_named(connection, value):
    connection.execute(POOLS.replace("available integer", "available numeric"))
    connection.execute(TICKETS)
    connection.execute("INSERT INTO ticket_pools VALUES ('D', 8, 8), ('E', 8, %s)", [value])
    said = "the pool of event 'E' has the available .*, which is not an integer"
    with pytest.raises(LedgerUnreadable, match=said):
        read_ledger(connection, "public")


def test_an_event_that_cannot_be_asked_for(connection):
    for statement in UNREADABLE["events that are numbers"]:
        connection.execute(statement)
    with pytest.raises(LedgerUnreadable, match="public"):
        read_ledger(connection, "public", "E")


def test_a_schema_that_is_not_there(connection):
    with pytest.raises(LedgerUnreadable, match="nowhere"):
        read_ledger(connection, "nowhere")


def test_no_right_to_read(database, connection):
    with login(connection, database, "stranger"):
        connection.execute("SET ROLE stranger")
        with pytest.raises(LedgerUnreadable, match="permission denied"):
            read_ledger(connection, "fixed")


def test_a_connection_that_breaks(database, connection):
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(LedgerUnreadable):
        read_ledger(connection, "fixed")


def test_present_schemas(connection):
    assert present_schemas(connection) == ["original", "fixed"]
    connection.execute("DROP SCHEMA original CASCADE")
    assert present_schemas(connection) == ["fixed"]


@pytest.fixture
def half_blind(database, connection):
    """A role that may read the pools and the rows of `fixed`, and not its ranges."""
    reset_event(connection, "fixed", "E", 80, 16)
    with login(connection, database, "half_blind"):
        connection.execute("GRANT USAGE ON SCHEMA fixed TO half_blind")
        connection.execute("GRANT SELECT ON fixed.ticket_pools, fixed.issued_tickets TO half_blind")
        yield connection


def test_a_table_that_may_not_be_read_is_no_absent_table(half_blind):
    half_blind.execute("SET ROLE half_blind")
    with pytest.raises(LedgerUnreadable, match="ticket_allocations"):
        read_ledger(half_blind, "fixed")


def test_rows_that_a_policy_hides_are_no_absent_rows(half_blind):
    half_blind.execute("GRANT SELECT ON fixed.ticket_allocations TO half_blind")
    half_blind.execute("ALTER TABLE fixed.ticket_allocations ENABLE ROW LEVEL SECURITY")
    half_blind.execute("SET ROLE half_blind")
    assert half_blind.execute("SELECT count(*) FROM fixed.ticket_allocations").fetchone() == (0,)
    with pytest.raises(LedgerUnreadable, match="row-level security"):
        read_ledger(half_blind, "fixed")
