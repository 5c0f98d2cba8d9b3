"""The contract that every allocator keeps when purchases come one after another."""

import asyncio
import contextlib

import psycopg
import pytest

from tests.support.buying import buy, open_allocator, outcome
from tests.support.ledgers import is_clean, verdict_of
from tests.support.locks import blocked_by
from tests.support.waiting import soon
from ticketsvc.allocators import ALLOCATORS, DEFAULT_ALLOCATOR, SAFE
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import (
    DatabaseUnavailable,
    EventNotFound,
    RefusedByDatabase,
    SoldOut,
    Unavailable,
)
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.purchases import MAX_QUANTITY, TicketRange
from ticketsvc.sales.seller import sell

EVERYWHERE = [
    (name, schema)
    for name, allocator in ALLOCATORS.items()
    for schema in allocator.mechanism.schemas
]
TRY_AGAIN = ["repeatable_read_retry", "serializable"]


def test_registry():
    assert all(name == allocator.mechanism.name for name, allocator in ALLOCATORS.items())
    assert not ALLOCATORS["naive"].mechanism.safe
    assert DEFAULT_ALLOCATOR in SAFE
    assert {"ticket_rows", "range"} <= set(SAFE)
    assert {ALLOCATORS[name].mechanism.schemas[0] for name in SAFE} == {"fixed"}


@pytest.mark.parametrize(("allocator", "schema"), EVERYWHERE)
async def test_purchases_in_turn_get_the_numbers_in_turn_to_the_last(
    database, connection, allocator, schema
):
    reset_event(connection, schema, "E", 52, 16)
    async with open_allocator(database, allocator, schema) as seller:
        with pytest.raises(SoldOut):
            await sell(seller, buy(40))
        for event in ("F", "e", "E ", "E'; --"):
            with pytest.raises(EventNotFound):
                await sell(seller, buy(event=event))
        assert await sell(seller, buy(8, user="a")) == TicketRange(17, 24)
        assert await sell(seller, buy(16, user="b")) == TicketRange(25, 40)
        assert await sell(seller, buy(8, user="a")) == TicketRange(41, 48)
        before = read_ledger(connection, schema)
        for _ in range(3):  # four are left
            with pytest.raises(SoldOut):
                await sell(seller, buy(8))
    (ledger,) = after = read_ledger(connection, schema)
    assert after == before
    assert ledger.available == 4
    assert sum(i.last - i.first + 1 for i in ledger.issues if i.user == "b") == 16
    assert is_clean(connection, schema)


async def test_any_text_is_stored_as_it_is_and_the_largest_quantity_sold_on_each_postgresql(
    every_server,
):
    with every_server.clone() as url, psycopg.connect(url, autocommit=True) as connection:
        for allocator, schema in EVERYWHERE:
            await sell_any_text_and_the_largest_quantity(url, connection, allocator, schema)


async def sell_any_text_and_the_largest_quantity(url, connection, allocator, schema):
    """Sell by the allocator to a buyer and from an event of any name; raise where that fails."""
    name = "'; DROP TABLE x; -- %s {} 🎫 é"
    # A commit per ticket makes the largest purchase a long one.
    quantity = MAX_QUANTITY if ALLOCATORS[allocator].mechanism.safe else 128
    for event in (name, "F"):
        reset_event(connection, schema, event, MAX_QUANTITY)
    async with open_allocator(url, allocator, schema) as seller:
        assert await sell(seller, buy(event=name, user=name)) == TicketRange(1, 8)
        assert await sell(seller, buy(quantity, event="F")) == TicketRange(1, quantity)
    (ledger,) = read_ledger(connection, schema, name)
    assert {issue.user for issue in ledger.issues} == {name}, allocator
    assert is_clean(connection, schema)


@pytest.mark.parametrize("name", ["ticket_rows", "range"])
async def test_rows_and_ranges_continue_each_other(database, connection, name):
    reset_event(connection, "fixed", "E", 80, 8)
    async with open_allocator(database, name, "fixed") as one:
        for other_name in ("range", "ticket_rows", "range"):
            await sell(one, buy())
            async with open_allocator(database, other_name, "fixed") as other:
                await sell(other, buy())
    verdict = verdict_of(connection)
    assert (verdict.issued, verdict.clean) == (56, True)


async def test_stock_added_by_a_negative_quantity_sells_nothing_twice(database, connection):
    """The hole of the write-up's range mode, should -8 ever get past validation."""
    for name in SAFE:
        reset_event(connection, "fixed", "E", 16)
        async with open_allocator(database, name, "fixed") as seller:
            for quantity in (8, -8, 8, 8):
                with contextlib.suppress(RefusedByDatabase, SoldOut):
                    await sell(seller, buy(quantity))
        verdict = verdict_of(connection)
        assert (verdict.duplicates, verdict.oversold) == (0, False), name


async def test_naive_sells_stock_twice_after_a_negative_quantity(database, connection):
    """The negative control of the test above."""
    reset_event(connection, "original", "E", 16)
    async with open_allocator(database, "naive", "original") as seller:
        for quantity in (8, -8, 8, 8):
            await sell(seller, buy(quantity))
    verdict = verdict_of(connection, "original")
    assert (verdict.issued, verdict.duplicates, verdict.available) == (24, 8, 0)


# Errors of the database, translated.


async def test_a_constraint_is_named(database, connection):
    reset_event(connection, "fixed", "E", 80)
    connection.execute(
        "INSERT INTO fixed.ticket_allocations (event_id, user_id, start_ticket, end_ticket) "
        "VALUES ('E', 'v', 1, 8)"
    )
    async with open_allocator(database, "range", "fixed") as seller:
        with pytest.raises(RefusedByDatabase, match="ticket_allocations_pkey"):
            await sell(seller, buy())
    assert read_ledger(connection, "fixed")[0].available == 80


@contextlib.asynccontextmanager
async def waiting_behind_a_sale(database, connection, name):
    """Return the purchase of a seller by *name* whose pool row is changed while it waits for it."""
    connection.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = "
        "''repeatable read''', current_database()); END $$"
    )
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(database, name, "fixed") as seller, asyncio.TaskGroup() as group:
        with psycopg.connect(database) as holder:
            holder.execute("UPDATE fixed.ticket_pools SET total = total")
            purchase = group.create_task(outcome(seller, buy()))
            await soon(lambda: blocked_by(connection, holder))
            holder.commit()
            yield purchase


@pytest.mark.parametrize("name", SAFE)
async def test_a_purchase_that_was_rolled_back_is_not_called_unknown(database, connection, name):
    """Under a stricter default level the database rolls one of two back: it did not happen."""
    async with waiting_behind_a_sale(database, connection, name) as purchase:
        came_of_it = await purchase
    verdict = verdict_of(connection)
    if name in TRY_AGAIN:
        assert came_of_it == TicketRange(1, 8)
    else:
        assert isinstance(came_of_it, Unavailable)
    assert (verdict.issued, verdict.clean) == (8 * (name in TRY_AGAIN), True)


async def test_a_database_that_takes_no_writes(database, connection):
    reset_event(connection, "fixed", "E", 80)
    connection.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', "
        "current_database()); END $$"
    )
    for name in SAFE:
        async with open_allocator(database, name, "fixed") as seller:
            with pytest.raises(DatabaseUnavailable):
                await sell(seller, buy())
