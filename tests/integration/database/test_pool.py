"""The circuit breaker in front of the pool."""

import asyncio
import contextlib
import socket

import pytest

from tests.support.clusters import login
from tests.support.waiting import soon
from ticketsvc.database.pool import Pool, checkout
from ticketsvc.errors import DatabaseUnavailable
from ticketsvc.settings import Settings

LONG_TIMEOUT = {"pool_timeout_s": 300}


@pytest.fixture
def limited_database(connection, database):
    """The address of `database` for a role that may connect once."""
    with login(connection, database, "limited", "CONNECTION LIMIT 1") as address:
        yield address


@pytest.fixture
def unreachable_database():
    """An address whose port is taken, so that nobody else can listen there meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/none"


async def test_those_who_wait_are_refused_when_nothing_can_be_reached(unreachable_database):
    settings = Settings(pool_size=2, **LONG_TIMEOUT)
    async with asyncio.timeout(60), Pool(unreachable_database, settings) as pool:
        waiting = await asyncio.gather(*(pool.getconn() for _ in range(5)), return_exceptions=True)
        assert {type(each) for each in waiting} == {DatabaseUnavailable}
        with pytest.raises(DatabaseUnavailable):
            await pool.getconn()


async def first_of(pool):
    """Return a connection; two that begin at once may each be one too many, and both fail."""
    while True:
        with contextlib.suppress(DatabaseUnavailable):
            return await pool.getconn()
        await asyncio.sleep(0.01)


async def test_nobody_is_refused_while_one_connection_works(limited_database):
    async with (
        asyncio.timeout(60),
        Pool(limited_database, Settings(pool_size=2, **LONG_TIMEOUT)) as pool,
    ):
        first = await first_of(pool)
        second = asyncio.create_task(pool.getconn())
        # The pool has tried in vain to make the second connection, and has reported it.
        await soon(lambda: pool.get_stats().get("connections_errors", 0) >= 2)
        await pool.putconn(first)
        await pool.putconn(await second)


async def test_a_connection_that_the_server_closed_is_not_lent(connection, database):
    async with (
        asyncio.timeout(60),
        Pool(database, Settings(pool_size=1, **LONG_TIMEOUT)) as pool,
    ):
        async with checkout(pool) as used:
            pid = used.info.backend_pid
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        async with checkout(pool) as replaced:
            assert replaced.info.backend_pid != pid
