"""A commit that waits for a synchronous standby which is away: cancelled, it is no sale.

The server's sessions do not wait for the standby, except those that ask for it.
"""

import asyncio

import pytest
from psycopg.conninfo import make_conninfo

from tests.support.buying import (
    buy,
    get_status,
    open_allocator,
    open_seller,
    outcome,
    post_purchase,
    together,
)
from tests.support.clusters import start_cluster
from tests.support.waiting import soon
from tests.support.web_servers import serve_sales
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database import connection as guard
from ticketsvc.database.roles import as_service
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import OutcomeUnknown
from ticketsvc.purchases import TicketRange
from ticketsvc.service import routes

WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def primary():
    with start_cluster(synchronous_standby_names="away", synchronous_commit="local") as cluster:
        yield cluster


@pytest.fixture
def database(primary):
    with primary.clone() as url:
        yield url


@pytest.fixture(params=[""])
def waiting(request, database):
    """The address of `database` for sessions whose commits wait for the standby."""
    return make_conninfo(database, options=f"-c synchronous_commit=on {request.param}")


async def cancel_the_wait(connection):
    await soon(lambda: connection.execute(f"SELECT pg_cancel_backend(pid) {WAITING}").fetchall())


async def buy_and_cancel(connection, allocator, purchase):
    sale = asyncio.create_task(outcome(allocator, purchase))
    await cancel_the_wait(connection)
    return await sale


@pytest.mark.parametrize("name", sorted(ALLOCATORS))
async def test_a_sale_that_the_standby_did_not_confirm_is_unknown(connection, waiting, name):
    schema = ALLOCATORS[name].mechanism.schemas[0]
    reset_event(connection, schema, "E", 80)
    async with open_allocator(waiting, name, schema) as allocator:
        told = await buy_and_cancel(connection, allocator, buy())
    assert isinstance(told, OutcomeUnknown)


@pytest.mark.parametrize("name", ["row_lock", "range"])  # in a transaction, in one statement
async def test_without_the_guard_it_is_reported_as_sold(connection, waiting, name, monkeypatch):
    """Negative control."""
    monkeypatch.setattr(guard, "says_unconfirmed", lambda _: False)
    reset_event(connection, "fixed", "E", 80)
    async with open_allocator(waiting, name) as allocator:
        assert await buy_and_cancel(connection, allocator, buy()) == TicketRange(1, 8)


@pytest.mark.parametrize("waiting", ["-c client_min_messages=error"], indirect=True)
async def test_all_of_a_batch_is_unknown_even_where_warnings_are_hidden(connection, waiting):
    reset_event(connection, "fixed", "E", 80)
    reset_event(connection, "fixed", "F", 80)
    purchases = [buy(user="a"), buy(user="b"), buy(event="F"), buy(event="none")]
    async with open_allocator(waiting, "group_commit") as allocator:
        sales = asyncio.create_task(together(allocator, *purchases))
        await cancel_the_wait(connection)
        assert {type(told) for told in await sales} == {OutcomeUnknown}


async def test_asked_again_under_its_key_it_is_told_only_once_the_standby_has_it(
    connection, database, waiting
):
    reset_event(connection, "fixed", "E", 80)
    async with open_seller(waiting, "group_commit") as seller:
        for _ in range(2):  # the second one reads the first one's sale, and does not believe it
            sale = asyncio.create_task(seller.sell(buy(key="k")))
            await cancel_the_wait(connection)
            with pytest.raises(OutcomeUnknown):
                await sale
    async with open_seller(database, "group_commit") as seller:  # the standby is not waited for
        assert await seller.sell(buy(key="k")) == TicketRange(1, 8)


async def test_readiness_says_that_commits_wait(connection, database, waiting, http, monkeypatch):
    monkeypatch.setattr(routes, "COMMIT_LIMIT_S", 0)
    reset_event(connection, "fixed", "E", 80)
    as_service(database)  # to make its login would wait for the standby
    served = serve_sales(as_service(waiting), "group_commit", pool_size=2)
    async with served as url, asyncio.TaskGroup() as group:
        assert await is_ready(http, url)
        group.create_task(post_purchase(http, url))
        await soon(lambda: connection.execute(f"SELECT {WAITING}").fetchall())
        async with http.get(url + "/readyz") as answer:
            assert answer.status == 503
            assert "the synchronous standby does not confirm" in await answer.text()
        await cancel_the_wait(connection)
        await soon(lambda: is_ready(http, url))


async def is_ready(http, url):
    return await get_status(http, url + "/readyz") == 200


async def test_a_service_that_ends_answers_unknown_and_cancels_nothing(
    connection, database, waiting, serve, http
):
    reset_event(connection, "fixed", "E", 80)
    as_service(database)  # to make its login would wait for the standby
    at_once = {"TICKETSVC_SHUTDOWN_TIMEOUT_S": "0.1"}
    service = serve(waiting, "group_commit", environment=at_once)
    sale = asyncio.create_task(post_purchase(http, service.url))
    await soon(lambda: connection.execute(f"SELECT {WAITING}").fetchall())
    await asyncio.to_thread(service.stop)
    status, answer, _ = await sale
    assert (status, answer["code"]) == (503, "outcome_unknown")
    assert connection.execute(f"SELECT {WAITING}").fetchall()
    assert connection.execute("SELECT FROM fixed.ticket_allocations").fetchall() == []
