"""What is particular to group commit: batches, their order, their neighbours, their failures."""

import asyncio
import re

import psycopg
import pytest

from tests.support.buying import buy, open_allocator, together
from tests.support.ledgers import is_clean, verdict_of
from tests.support.locks import blocked_by, hold_pool
from tests.support.waiting import soon
from ticketsvc.allocators import group_commit
from ticketsvc.database.arrays import array_literal
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import (
    DatabaseUnavailable,
    EventNotFound,
    InvalidPurchase,
    OutcomeUnknown,
    RefusedByDatabase,
    SoldOut,
)
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.purchases import TicketRange
from ticketsvc.sales.seller import sell


def commits(connection, event="E"):
    """Count the transactions that wrote ranges of *event*."""
    return connection.execute(
        "SELECT count(DISTINCT xmin::text) FROM fixed.ticket_allocations WHERE event_id = %s",
        [event],
    ).fetchone()[0]


def test_any_text_comes_back_from_an_array_as_it_was(connection):
    texts = ["", "NULL", "null", " ", "a,b", "{}", '"', "\\", '\\"', "\n", "%s", "é🎫", "'"]
    [back] = connection.execute("SELECT %s::varchar[]", [array_literal(texts)]).fetchone()
    assert back == texts
    [numbers] = connection.execute("SELECT %s::int[]", [array_literal([8, -8])]).fetchone()
    assert numbers == [8, -8]


# Batches


async def test_purchases_that_wait_all_commit_together(database, connection):
    reset_event(connection, "fixed", "E", 800)
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, *[buy(user=f"u{n}") for n in range(100)])
    assert outcomes == [TicketRange(8 * n + 1, 8 * n + 8) for n in range(100)]
    assert commits(connection) == 1
    assert is_clean(connection)


async def test_a_batch_is_bounded(database, connection, monkeypatch):
    monkeypatch.setattr(group_commit, "MAX_BATCH", 10)
    reset_event(connection, "fixed", "E", 800)
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, *[buy() for _ in range(95)])
    assert outcomes == [TicketRange(8 * n + 1, 8 * n + 8) for n in range(95)]
    assert commits(connection) == 10


@pytest.mark.parametrize(("later", "batches"), [(2, 1), (20, 2)])
async def test_what_comes_while_a_batch_is_in_flight_joins_the_next_up_to_half_of_the_buyers(
    database, connection, later, batches
):
    reset_event(connection, "fixed", "E", 800)
    async with open_allocator(database, "group_commit") as seller:
        with hold_pool(database, event="E") as holder:
            first = asyncio.ensure_future(together(seller, *[buy()] * 2))
            await soon(lambda: blocked_by(connection, holder))
            coming = asyncio.ensure_future(together(seller, *[buy()] * later))
            await asyncio.sleep(0)
        sold = await first + await coming
    assert sold == [TicketRange(8 * n + 1, 8 * n + 8) for n in range(2 + later)]
    assert commits(connection) == 1 + batches


async def test_one_after_the_other_is_a_commit_each(database, connection):
    """The control: nothing is held back to make a batch."""
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        for n in range(5):
            assert await sell(seller, buy()) == TicketRange(8 * n + 1, 8 * n + 8)
    assert commits(connection) == 5


async def test_events_beyond_the_pools_size_are_all_served(database, connection):
    names = [f"E{n}" for n in range(40)]
    for name in names:
        reset_event(connection, "fixed", name, 80)
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, *[buy(event=name) for name in names * 3])
    assert outcomes == [TicketRange(8 * n + 1, 8 * n + 8) for n in range(3) for _ in names]
    assert {commits(connection, name) for name in names} == {1}
    all_commits = "SELECT count(DISTINCT xmin::text) FROM fixed.ticket_allocations"
    assert connection.execute(all_commits).fetchone() == (1,)
    assert is_clean(connection)


async def test_a_blocked_event_does_not_hold_up_another(database, connection):
    reset_event(connection, "fixed", "E", 80)
    reset_event(connection, "fixed", "F", 80)
    async with open_allocator(database, "group_commit") as seller:
        with hold_pool(database, event="E") as holder:
            blocked = asyncio.ensure_future(together(seller, *[buy()] * 5))
            await soon(lambda: blocked_by(connection, holder))
            assert await sell(seller, buy(event="F")) == TicketRange(1, 8)
            assert not blocked.done()
        assert len(await blocked) == 5


# Order of arrival, each as if alone


async def test_stock_that_runs_out_in_a_batch_is_granted_in_order_of_arrival(database, connection):
    reset_event(connection, "fixed", "E", 32)
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, *[buy(q) for q in (16, 8, 16, 8, 8)])
    first, second, too_much, last, nothing_left = outcomes
    assert (first, second, last) == (TicketRange(1, 16), TicketRange(17, 24), TicketRange(25, 32))
    assert isinstance(too_much, SoldOut)
    assert isinstance(nothing_left, SoldOut)
    assert commits(connection) == 1
    assert is_clean(connection)


async def test_nothing_is_written_when_nobody_can_be_sold_to(database, connection):
    reset_event(connection, "fixed", "E", 8)
    written = "SELECT xmin::text, available FROM fixed.ticket_pools"
    before = connection.execute(written).fetchone()
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, *[buy(16)] * 3)
        strangers = await together(seller, *[buy(event="F")] * 3)
    assert all(isinstance(each, SoldOut) for each in outcomes)
    assert all(isinstance(each, EventNotFound) for each in strangers)
    assert len({id(each) for each in outcomes}) == 3
    assert connection.execute(written).fetchone() == before


# Neighbours


# The lowest layer guards: validation is left out here.
REFUSED_ALONE = [
    *((RefusedByDatabase, {"quantity": quantity}) for quantity in (-8, 0, 7)),
    *((InvalidPurchase, {"user": user}) for user in ("u" * 51, "a\0b")),
    (RefusedByDatabase, {"user": "mallory"}),
]


async def test_who_breaks_a_rule_is_refused_alone(database, connection):
    reset_event(connection, "fixed", "E", 800)
    connection.execute(
        "ALTER TABLE fixed.ticket_allocations ADD CONSTRAINT no_mallory "
        "CHECK (user_id <> 'mallory')"
    )
    async with open_allocator(database, "group_commit") as seller:
        for sold, (error, wrong) in enumerate(REFUSED_ALONE):
            before, bad, after = await together(seller, buy(), buy(**wrong), buy())
            first = 16 * sold + 1
            assert (before, after) == (
                TicketRange(first, first + 7),
                TicketRange(first + 8, first + 15),
            )
            assert isinstance(bad, error)
    assert "no_mallory" in str(bad)
    assert is_clean(connection)


async def test_a_connection_that_breaks_while_the_culprit_is_looked_for(database, connection):
    """Who was not sent again is told that nothing was sold, and that is true."""
    reset_event(connection, "fixed", "E", 80)
    connection.execute(
        "CREATE FUNCTION fixed.end_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(*) FROM inserted) > 1 THEN RAISE check_violation; END IF; "
        "PERFORM pg_terminate_backend(pg_backend_pid()) FROM inserted WHERE user_id = 'mallory'; "
        "RETURN NULL; END $$"
    )
    connection.execute(
        "CREATE TRIGGER a_end_it AFTER INSERT ON fixed.ticket_allocations REFERENCING NEW TABLE "
        "AS inserted FOR EACH STATEMENT EXECUTE FUNCTION fixed.end_it()"
    )
    async with open_allocator(database, "group_commit") as seller:
        outcomes = await together(seller, buy(), buy(user="mallory"), buy(), buy())
    assert outcomes[0] == TicketRange(1, 8)
    assert isinstance(outcomes[1], OutcomeUnknown)
    assert all(isinstance(each, DatabaseUnavailable) for each in outcomes[2:])
    verdict = verdict_of(connection)
    assert (verdict.issued, verdict.clean) == (8, True)


# Failures of a whole batch


async def test_a_connection_cut_in_flight_is_an_unknown_outcome_for_each(database, connection):
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        with hold_pool(database, event="E") as holder:
            in_flight = asyncio.ensure_future(together(seller, *[buy()] * 4))
            [victim] = await soon(lambda: blocked_by(connection, holder))
            waiting = asyncio.ensure_future(together(seller, *[buy()] * 3))
            await asyncio.sleep(0)
            connection.execute("SELECT pg_terminate_backend(%s)", [victim])
            assert [type(each) for each in await in_flight] == [OutcomeUnknown] * 4
        # A purchase that still waited goes with the next batch, on another connection.
        assert await waiting == [TicketRange(8 * n + 1, 8 * n + 8) for n in range(3)]
    assert is_clean(connection)


def no_connection(_):
    raise DatabaseUnavailable("none")


@pytest.mark.parametrize(
    "failure",
    [
        ("checkout", no_connection, DatabaseUnavailable, ""),  # nothing was sent
        ("array_literal", lambda _: 1 / 0, OutcomeUnknown, "ZeroDivisionError"),  # a bug
    ],
)
async def test_a_failure_leaves_nobody_waiting(database, connection, monkeypatch, caplog, failure):
    part, fails, error, logged = failure
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        with monkeypatch.context() as patch:
            patch.setattr(group_commit, part, fails)
            outcomes = await together(seller, *[buy()] * 3)
            assert [type(each) for each in outcomes] == [error] * 3
        assert await sell(seller, buy()) == TicketRange(1, 8)
    assert logged in caplog.text


# Callers that leave


@pytest.mark.parametrize("who", [0, 1])
async def test_a_caller_that_leaves_in_flight_spoils_nothing(database, connection, who):
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        with hold_pool(database, event="E") as holder:
            callers = [asyncio.ensure_future(sell(seller, buy(user=f"u{n}"))) for n in range(3)]
            await soon(lambda: blocked_by(connection, holder))
            callers[who].cancel()
            await asyncio.wait([callers[who]])
            assert callers[who].cancelled()
        for n in {0, 1, 2} - {who}:
            assert await callers[n] == TicketRange(8 * n + 1, 8 * n + 8)
        assert await sell(seller, buy()) == TicketRange(25, 32)
    assert is_clean(connection)


async def test_a_caller_that_leaves_the_queue_buys_nothing(database, connection):
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        with hold_pool(database, event="E") as holder:
            first = asyncio.ensure_future(sell(seller, buy()))
            await soon(lambda: blocked_by(connection, holder))
            gone = [asyncio.ensure_future(sell(seller, buy(user="gone"))) for _ in range(3)]
            after = asyncio.ensure_future(sell(seller, buy()))
            await asyncio.sleep(0)
            for each in gone:
                each.cancel()
        assert (await first, await after) == (TicketRange(1, 8), TicketRange(9, 16))
        assert all(each.cancelled() for each in gone)
    (ledger,) = read_ledger(connection, "fixed")
    assert "gone" not in {issue.user for issue in ledger.issues}


# Memory, and several instances


async def test_the_queue_of_an_event_is_forgotten_with_its_last_purchase(database, connection):
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, "group_commit") as seller:
        await together(seller, *[buy(event=f"F{n}") for n in range(500)], *[buy()] * 3)
        assert not seller.queues


async def test_without_the_lock_two_instances_do_not(database, connection):
    """The negative control: the same batches, but the pool row is read before it is locked."""
    body = connection.execute("SELECT pg_get_functiondef('fixed.reserve'::regproc)").fetchone()[0]
    assert "FOR NO KEY UPDATE" in body
    unlocked = re.sub("FOR NO KEY UPDATE( SKIP LOCKED)?", "", body).replace(
        "IF next > before THEN",
        "PERFORM pg_advisory_lock_shared(1); PERFORM pg_advisory_unlock_shared(1);"
        "IF next > before THEN",
    )
    connection.execute(unlocked)
    connection.execute("DROP TRIGGER issue_in_sequence ON fixed.ticket_allocations")
    connection.execute(
        "ALTER TABLE fixed.ticket_allocations DROP CONSTRAINT ticket_allocations_pkey"
    )
    reset_event(connection, "fixed", "E", 16)
    async with (
        open_allocator(database, "group_commit") as one,
        open_allocator(database, "group_commit") as other,
    ):
        with psycopg.connect(database, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(1)")
            sales = [asyncio.ensure_future(sell(each, buy())) for each in (one, other)]
            both = "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await soon(lambda: connection.execute(both).fetchone()[0])
            holder.execute("SELECT pg_advisory_unlock(1)")
        assert [await each for each in sales] == [TicketRange(1, 8)] * 2
    verdict = verdict_of(connection)
    assert verdict.duplicates == 8
