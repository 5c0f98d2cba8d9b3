"""Schema fixed spread over machines: the contract, keys, kills, and what forbids a bad state there.

These tests run where `TICKETSVC_CITUS_URL` names a coordinator, and drop both schemas of its
database.
"""

import asyncio
import os
from contextlib import ExitStack

import psycopg
import pytest

from tests.integration.allocators.test_allocators import (  # noqa: F401 - run on Citus
    EVERYWHERE,
    sell_any_text_and_the_largest_quantity,
    test_purchases_in_turn_get_the_numbers_in_turn_to_the_last,
)
from tests.integration.allocators.test_group_commit import (  # noqa: F401
    commits,
    test_a_batch_is_bounded,
    test_purchases_that_wait_all_commit_together,
    test_stock_that_runs_out_in_a_batch_is_granted_in_order_of_arrival,
)
from tests.integration.sales.test_idempotency import (  # noqa: F401
    test_a_refusal_is_not_stored_and_its_key_can_buy_later,
    test_old_keys_are_forgotten_by_a_service_that_runs,
)
from tests.support.buying import buy, open_allocator, open_seller, outcome, together
from tests.support.commands import error_line
from tests.support.ledgers import is_clean, verdict_of
from tests.support.locks import hold_pool
from tests.support.waiting import soon
from tests.support.web_servers import serve_sales
from ticketsvc.allocators import SAFE
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import KeyReused, OutcomeUnknown
from ticketsvc.lab.checker.check import judge
from ticketsvc.lab.faults.restarting_service import RestartingService
from ticketsvc.lab.ledger.reader import ledger_statement, read_ledger
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.purchases import TicketRange

URL = os.environ.get("TICKETSVC_CITUS_URL", "")  # before `conftest.py` hides it from the tests
if not URL:
    pytest.skip("TICKETSVC_CITUS_URL names no coordinator of Citus", allow_module_level=True)

RANGE = "INSERT INTO fixed.ticket_allocations (event_id, start_ticket, end_ticket, user_id) VALUES "
ROW = "INSERT INTO fixed.issued_tickets (event_id, ticket_number, user_id) VALUES "
BUSY_ON_WORKERS = """
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%fixed.reserve(%' {}"""


@pytest.fixture(scope="module")
def cluster():
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute("SET citus.shard_count = 8")
        ensure_schemas(connection, recreate=True)
    return URL


@pytest.fixture
def database(cluster):
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE fixed.ticket_pools, fixed.ticket_allocations, fixed.issued_tickets,"
            " fixed.idempotency_keys, original.ticket_pools, original.issued_tickets"
        )
    return cluster


def on_workers(connection, query):
    """Run *query* on every worker; return how many answered with a true value."""
    rows = connection.execute("SELECT result FROM run_command_on_workers(%s)", [query]).fetchall()
    return sum(result not in ("", "0", "f") for (result,) in rows)


def terminate_reserves(connection):
    """End the sessions in which workers run `reserve`."""
    ended = BUSY_ON_WORKERS.format("AND state = 'active'")
    return on_workers(connection, f"SELECT count(pg_terminate_backend(pid)) {ended}")


@pytest.mark.parametrize(("allocator", "schema"), EVERYWHERE)
async def test_any_text_and_the_largest_quantity(database, connection, allocator, schema):
    await sell_any_text_and_the_largest_quantity(database, connection, allocator, schema)


# One hop, one moment


def test_a_batch_is_one_statement_on_one_worker(connection):
    plan = connection.execute(
        "EXPLAIN (FORMAT JSON) SELECT * FROM fixed.reserve('E', '{u}', '{8}', false, '{k}')"
    ).fetchone()[0]
    assert plan[0]["Plan"]["Node Type"] == "Custom Scan"
    assert plan[0]["Plan"]["Distributed Query"]["Job"]["Task Count"] == 1


async def test_a_batch_of_several_events_needs_no_two_phase_commit(database, connection):
    """Each event is a statement of its own. The coordinator notes each two-phase commit."""
    events = [f"E{n}" for n in range(8)]
    for event in events:
        reset_event(connection, "fixed", event, 80)
    connection.execute("SELECT recover_prepared_transactions()")
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, *[buy(event=event) for event in events * 2])
    assert outcomes == [TicketRange(1, 8)] * 8 + [TicketRange(9, 16)] * 8
    assert connection.execute("SELECT FROM pg_dist_transaction").fetchall() == []
    assert {commits(connection, event) for event in events} == {1}


def test_an_audit_reads_an_events_pool_and_tickets_in_one_statement(connection):
    for joined in (False, True):
        statement = ledger_statement("fixed", joined=joined).query
        plan = connection.execute(b"EXPLAIN " + statement, {"events": None}).fetchall()
        assert not [line for (line,) in plan if "Distributed Subplan" in line]


@pytest.mark.parametrize("path", ["/readyz", "/events", "/events/E", "/events/E/tickets/1"])
async def test_what_a_service_reads(database, connection, http, path):
    reset_event(connection, "fixed", "E", 80, 8)
    async with serve_sales(database, "range") as url, http.get(url + path) as answer:
        assert answer.status == 200, await answer.text()


# Keys


@pytest.mark.parametrize("name", SAFE)
async def test_asked_again_the_same_tickets_are_told_and_another_purchase_is_refused(
    database, connection, name
):
    reset_event(connection, "fixed", "E", 80)
    async with open_seller(database, name) as seller:
        for _ in range(2):
            assert await seller.sell(buy(key="k")) == TicketRange(1, 8)
        for other in (buy(key="k", user="v"), buy(key="k", quantity=16)):
            with pytest.raises(KeyReused):
                await seller.sell(other)
    assert verdict_of(connection).issued == 8


@pytest.mark.parametrize("name", ["group_commit", "range"])
async def test_asked_at_the_same_time_in_several_processes(database, connection, name):
    reset_event(connection, "fixed", "E", 800)
    async with open_seller(database, name) as one, open_seller(database, name) as other:
        asked = [seller.sell(buy(key=f"k{n % 6}")) for n in range(24) for seller in (one, other)]
        assert len(set(await asyncio.gather(*asked))) == 6
    assert verdict_of(connection).issued == 48


async def test_a_key_belongs_to_one_event(database, connection):
    """One server refuses the second purchase: see decision 0009."""
    for event in ("E", "F"):
        reset_event(connection, "fixed", event, 80)
    async with open_seller(database, "group_commit") as seller:
        for event in ("E", "F", "E", "F"):
            assert await seller.sell(buy(key="k", event=event)) == TicketRange(1, 8)
    assert is_clean(connection)


# Bad states


def test_ranges_stay_ranges(database, cli):
    assert "on Citus ranges stay ranges" in error_line(cli("expand", DATABASE_URL=database))


@pytest.mark.parametrize(
    ("statement", "refused"),
    [
        (RANGE + "('E', 17, 24, 'u')", "ForeignKeyViolation"),  # a gap
        (RANGE + "('E', 1, 16, 'u')", "UniqueViolation"),  # the same start
        (RANGE + "('E', 5, 12, 'u')", "ForeignKeyViolation"),  # an overlap
        (RANGE + "('E', 9, 8, 'u')", "CheckViolation"),  # an empty range
        (ROW + "('F', 1, 'u')", "ForeignKeyViolation"),
        (RANGE + "('F', 1, 8, 'u')", "ForeignKeyViolation"),  # no such event
        ("DELETE FROM fixed.ticket_pools WHERE event_id = 'E'", "ForeignKeyViolation"),
        ("UPDATE fixed.ticket_pools SET available = 80 WHERE event_id = 'E'", "CheckViolation"),
    ],
)
def test_a_bad_state_is_refused(connection, statement, refused):
    reset_event(connection, "fixed", "E", 80, 8)
    with pytest.raises(psycopg.IntegrityError) as problem:
        connection.execute(statement)
    assert type(problem.value).__name__ == refused
    assert is_clean(connection)


@pytest.mark.parametrize("statement", [RANGE + "('E', 9, 96, 'u')", ROW + "('E', 1, 'u')"])
def test_what_no_constraint_forbids_is_found_by_the_audit(connection, statement):
    """Beyond the total; a row inside a range. It is the negative control of the audit too."""
    reset_event(connection, "fixed", "E", 80, 8)
    connection.execute(statement)
    assert not is_clean(connection)


# Kills


async def test_a_purchase_whose_worker_is_lost_is_an_unknown_outcome(database, connection):
    """What the coordinator then says is an internal error: it must not mean 'not sold'."""
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        with hold_pool(database, event="E"):
            async with asyncio.TaskGroup() as group:
                purchase = group.create_task(outcome(seller, buy()))
                await soon(lambda: terminate_reserves(connection))
                assert isinstance(await purchase, OutcomeUnknown)
    assert is_clean(connection)


async def test_nothing_is_lost_or_sold_twice_when_services_and_workers_sessions_are_killed(
    database, connection
):
    reset_event(connection, "fixed", "E", 8_000_000)
    answers, done = [], False
    with ExitStack() as stack:
        services = [RestartingService(database, name) for name in ("group_commit", "range")]
        for one in services:
            stack.callback(one.close)
        workload = Workload(
            "E", purchases=10**6, concurrency=16, keys=True, retry_s=60, retry_unavailable=True
        )
        selling = asyncio.create_task(
            run_workload(
                [one.url for one in services],
                workload,
                on_answer=answers.append,
                enough=lambda: done,
            )
        )
        for number in range(6):
            before = len(answers)
            await soon(lambda before=before: len(answers) > before + 50)
            if number % 2:
                services[number // 2 % 2].kill()
            else:
                await soon(lambda: terminate_reserves(connection))
        done = True
        history = await selling
    (ledger,) = read_ledger(connection, "fixed")
    verdict = judge(ledger, history)
    assert verdict.clean, verdict.violations
    assert any(attempt.outcome == "unknown" for attempt in history)
