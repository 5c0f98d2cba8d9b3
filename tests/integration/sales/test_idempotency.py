"""A purchase that is asked for again under its key is sold once, by every safe allocator."""

import asyncio
from functools import partial

import psycopg
import pytest

from tests.support import buying
from tests.support.buying import open_seller
from tests.support.locks import blocked_by, hold_pool, hold_table
from tests.support.waiting import soon
from tests.support.web_servers import serve_sales
from ticketsvc.allocators import ALLOCATORS, SAFE
from ticketsvc.database.idempotency_keys import Keys
from ticketsvc.database.pool import Pool
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import (
    EventNotFound,
    KeyReused,
    OutcomeUnknown,
    RefusedByDatabase,
    SoldOut,
)
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.purchases import TicketRange
from ticketsvc.sales import seller as seller_module
from ticketsvc.settings import Settings

buy = partial(buying.buy, key="k")
KEYS = "INSERT INTO fixed.idempotency_keys (key, event_id, user_id, quantity, first_ticket) "
every_safe = pytest.mark.parametrize("name", SAFE)


def issued(connection, event="E"):
    found = {verdict.event: verdict for verdict in check(read_ledger(connection, "fixed"))}
    assert all(verdict.clean for verdict in found.values())
    return found[event].issued


def keys(connection):
    return connection.execute("SELECT key FROM fixed.idempotency_keys ORDER BY key").fetchall()


def test_every_safe_allocator_claims_keys_and_no_other():
    assert {n for n, a in ALLOCATORS.items() if a.mechanism.claims_keys} == set(SAFE)


@every_safe
async def test_asked_again_the_same_tickets_are_told_and_another_purchase_is_refused(
    database, connection, name
):
    reset_event(connection, "fixed", "E", 32)
    reset_event(connection, "fixed", "F", 80)
    async with open_seller(database, name) as seller:
        assert await seller.sell(buy(key="a")) == TicketRange(1, 8)
        assert await seller.sell(buy(key="b", user="v")) == TicketRange(9, 16)
        assert await seller.sell(buy(key="a")) == TicketRange(1, 8)
        others = ({"user": "v"}, {"quantity": 16}, {"event": "F"}, {"event": "none"})
        for other in (*others, {"quantity": 800}):
            with pytest.raises(KeyReused):
                await seller.sell(buy(key="a", **other))
    async with open_seller(database, name) as seller:  # another process, another day
        assert await seller.sell(buy(key="b", user="v")) == TicketRange(9, 16)
        assert await seller.sell(buy(key=None)) == TicketRange(17, 24)
        assert await seller.sell(buy(key="last")) == TicketRange(25, 32)
        with pytest.raises(SoldOut):
            await seller.sell(buy(key="other"))
        assert await seller.sell(buy(key="last")) == TicketRange(25, 32)
    assert (issued(connection), issued(connection, "F")) == (32, 0)


@every_safe
async def test_a_refusal_is_not_stored_and_its_key_can_buy_later(database, connection, name):
    reset_event(connection, "fixed", "E", 8)
    async with open_seller(database, name) as seller:
        with pytest.raises(SoldOut):
            await seller.sell(buy(key="x", quantity=16))
        with pytest.raises(EventNotFound):
            await seller.sell(buy(key="y", event="unknown"))
        assert keys(connection) == []
        connection.execute("UPDATE fixed.ticket_pools SET total = 16, available = 16")
        assert await seller.sell(buy(key="x", quantity=16)) == TicketRange(1, 16)
    assert issued(connection) == 16


@every_safe
async def test_asked_at_the_same_time_in_several_processes(database, connection, name):
    reset_event(connection, "fixed", "E", 800)
    async with open_seller(database, name) as one, open_seller(database, name) as other:
        asked = [seller.sell(buy(key=f"k{n % 6}")) for n in range(24) for seller in (one, other)]
        told = await asyncio.gather(*asked)
    assert len(set(told)) == 6
    assert issued(connection) == 48


@pytest.mark.parametrize("event", ["E", "unknown"])
async def test_a_repeated_request_gets_the_first_ones_refusal(database, connection, event):
    reset_event(connection, "fixed", "E", 0)
    async with open_seller(database, "range") as seller:
        asked = [seller.sell(buy(event=event, key="k")) for _ in range(3)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in outcomes} == {SoldOut if event == "E" else EventNotFound}
    assert len({str(one) for one in outcomes}) == 1


@every_safe
async def test_who_asks_again_meanwhile_gets_the_first_ones_outcome(database, connection, name):
    reset_event(connection, "fixed", "E", 80)
    async with open_seller(database, name) as seller:
        asked = [asyncio.create_task(seller.sell(buy())) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(KeyReused):
            await seller.sell(buy(quantity=16))
        asked[1].cancel()  # one of them leaves
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert [told[0], told[2]] == [TicketRange(1, 8)] * 2
    assert isinstance(told[1], asyncio.CancelledError)
    assert issued(connection) == 8


# Not `serializable`: its level finds by itself that both have looked for what the other wrote.
@pytest.mark.parametrize("name", [name for name in SAFE if name != "serializable"])
async def test_without_the_constraint_the_same_key_buys_twice(database, connection, name):
    """The negative control: nothing but the claim keeps purchases of two events apart."""
    connection.execute("ALTER TABLE fixed.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey")
    told = await _both_looked_before_either_claimed(database, connection, name)
    assert told == [TicketRange(1, 8)] * 2
    assert issued(connection) + issued(connection, "F") == 16


@every_safe
async def test_with_the_constraint_the_second_is_rolled_back(database, connection, name):
    told = await _both_looked_before_either_claimed(database, connection, name)
    assert sorted(type(one).__name__ for one in told) == ["KeyReused", "TicketRange"]
    assert issued(connection) + issued(connection, "F") == 8


async def _both_looked_before_either_claimed(database, connection, name):
    """Buy from two events under one key, at two servers; return what came of it."""
    reset_event(connection, "fixed", "E", 80)
    reset_event(connection, "fixed", "F", 80)
    mode = "SHARE ROW EXCLUSIVE"
    with hold_table(database, "fixed", "idempotency_keys", mode) as holder:
        async with open_seller(database, name) as one, open_seller(database, name) as other:
            asked = [
                asyncio.create_task(one.sell(buy())),
                asyncio.create_task(other.sell(buy(event="F"))),
            ]
            await soon(lambda: len(blocked_by(connection, holder)) == 2)
            await asyncio.to_thread(holder.rollback)
            return await asyncio.gather(*asked, return_exceptions=True)


@every_safe
async def test_a_broken_connection_is_unknown_and_asking_again_tells(database, connection, name):
    reset_event(connection, "fixed", "E", 80)
    with hold_pool(database, event="E") as holder:
        async with open_seller(database, name) as seller:
            asked = asyncio.create_task(seller.sell(buy()))
            followed = asyncio.create_task(seller.sell(buy()))
            await soon(lambda: len(blocked_by(connection, holder)) == 1)
            connection.execute("SELECT pg_terminate_backend(%s)", blocked_by(connection, holder))
            for one in (asked, followed):
                with pytest.raises(OutcomeUnknown):
                    await one
            await asyncio.to_thread(holder.rollback)
            assert await seller.sell(buy()) == TicketRange(1, 8)
    assert issued(connection) == 8


async def test_a_used_key_does_not_spoil_its_batch(database, connection):
    reset_event(connection, "fixed", "E", 80)
    reset_event(connection, "fixed", "F", 80)
    async with open_seller(database, "group_commit") as seller:
        await seller.sell(buy(key="used"))
    async with open_seller(database, "group_commit", pool_size=1) as seller:
        wishes = [
            buy(key="a"),
            buy(key="used"),
            buy(key=None, user="none"),
            buy(key="used", user="v"),
            buy(key="b", event="F"),
            buy(key="c", quantity=7),
        ]
        told = await asyncio.gather(*map(seller.sell, wishes), return_exceptions=True)
    assert told[:3] == [TicketRange(9, 16), TicketRange(1, 8), TicketRange(17, 24)]
    assert isinstance(told[3], KeyReused)
    assert told[4] == TicketRange(1, 8)
    assert isinstance(told[5], RefusedByDatabase)
    assert keys(connection) == [("a",), ("b",), ("used",)]
    assert (issued(connection), issued(connection, "F")) == (24, 8)


async def test_a_key_that_two_of_one_statement_claim_buys_once(database, connection):
    """Nobody but a caller that goes around `Seller` can do that: the database still decides."""
    reset_event(connection, "fixed", "E", 80)
    async with Pool(database, Settings(pool_size=1)) as pool:
        seller = ALLOCATORS["group_commit"](pool, "fixed")
        told = await asyncio.gather(
            *(seller.allocate(buy(key=key)) for key in ("a", "b", "a")), return_exceptions=True
        )
    assert [type(one).__name__ for one in told] == ["TicketRange", "TicketRange", "KeyUsed"]
    assert issued(connection) == 16


def test_a_reset_forgets_the_keys_of_its_event(connection):
    reset_event(connection, "fixed", "E", 80)
    connection.execute(KEYS + "VALUES ('e', 'E', 'u', 8, 1), ('f', 'F', 'u', 8, 1)")
    reset_event(connection, "fixed", "E", 80)
    assert keys(connection) == [("f",)]


@pytest.mark.parametrize("many", [0, 5000])
def test_keys_are_looked_up_by_the_index_however_small_the_table_was(connection, many):
    """A plan made for an empty table reads all of it, and goes on to when it is large."""
    reset_event(connection, "fixed", "E", 80_000)
    connection.execute("ANALYZE fixed.idempotency_keys")
    others = KEYS + "SELECT 'other ' || n, 'E', 'u', 8, 1 FROM generate_series(1, %s) AS n"  # noqa: S608 - our own words
    connection.execute(others, [many])
    asked = [f"k{number}" for number in range(20)]

    def scans():
        query = "SELECT pg_stat_get_xact_numscans('fixed.idempotency_keys'::regclass)"
        return connection.execute(query).fetchone()

    with connection.transaction():
        before = scans()
        for _ in range(8):  # beyond the fifth, a plan for any parameters
            connection.execute(
                "SELECT fixed.reserve('E', %s::varchar[], %s::integer[], true, %s::varchar[])",
                [asked, [8] * 20, asked],
            )
            connection.execute("SELECT fixed.sold_under('k1')")
        assert scans() == before
        connection.execute("SELECT count(*) FROM fixed.idempotency_keys WHERE user_id = 'u'")
        assert scans() != before  # such a one would be seen


async def test_when_what_was_sold_cannot_be_looked_up_the_outcome_is_unknown(
    database, connection, monkeypatch
):
    """Told that nothing was sold, a buyer would buy elsewhere as well."""
    reset_event(connection, "fixed", "E", 80)
    async with open_seller(database, "range") as seller:
        await seller.sell(buy())

        async def gone(*_):
            raise psycopg.OperationalError("the connection is lost at this moment")

        monkeypatch.setattr(Keys, "find", gone)
        with pytest.raises(OutcomeUnknown):
            await seller.sell(buy())
        monkeypatch.undo()
        assert await seller.sell(buy()) == TicketRange(1, 8)


async def test_repeats_are_no_sales(database, connection):
    reset_event(connection, "fixed", "E", 80)
    sold, again = [], []
    told = {"on_sold": sold.append, "on_replayed": lambda: again.append(1)}
    async with open_seller(database, "range", **told) as seller:
        await asyncio.gather(*(seller.sell(buy()) for _ in range(3)))
        await seller.sell(buy())
    assert (sold, len(again)) == ([8], 3)


async def test_old_keys_are_forgotten_by_a_service_that_runs(database, connection, monkeypatch):
    monkeypatch.setattr(seller_module, "SECONDS_BETWEEN_EXPIRY", 0.01)
    connection.execute(KEYS + "VALUES ('old', 'E', 'u', 8, 1), ('new', 'E', 'u', 8, 1)")
    connection.execute(
        "UPDATE fixed.idempotency_keys SET created_at = now() - interval '25 hours'"
        " WHERE key = 'old'"
    )
    async with serve_sales(database, "range", pool_size=1):
        await soon(lambda: keys(connection) == [("new",)])


async def test_in_a_batch_no_purchase_waits_long_for_a_key_of_another_event(database, connection):
    for event in ("E", "F", "G"):
        reset_event(connection, "fixed", event, 80)
    with psycopg.connect(database) as rival:  # claims the key for E, and does not end
        rival.execute(KEYS + "VALUES ('k', 'E', 'u', 8, 1)")
        async with open_seller(database, "group_commit") as seller:
            stuck = asyncio.create_task(seller.sell(buy(event="F")))
            assert await seller.sell(buy(key=None, event="G")) == TicketRange(1, 8)
            await soon(lambda: len(blocked_by(connection, rival)) == 1)
            assert await seller.sell(buy(key="other", event="G")) == TicketRange(9, 16)
            assert not stuck.done()
            await asyncio.to_thread(rival.rollback)
            assert await stuck == TicketRange(1, 8)
