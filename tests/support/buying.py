"""Buy: from a seller in this process, or over HTTP."""

import asyncio
from contextlib import asynccontextmanager

from tests.support.waiting import TIMEOUT_S
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.pool import Pool
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import Seller, sell
from ticketsvc.settings import Settings

BODY = {"userId": "u", "eventId": "E", "quantity": 8}


def buy(quantity=8, event="E", user="u", key=None):
    """Return a purchase; no rule is checked."""
    return Purchase(user_id=user, event_id=event, quantity=quantity, key=key)


@asynccontextmanager
async def open_allocator(url, name, schema="fixed", pool_size=2):
    """Return the allocator *name* on a pool of its own, which closes with the block."""
    allocator = ALLOCATORS[name]
    async with asyncio.timeout(TIMEOUT_S), open_pool(url, pool_size) as pool:
        yield allocator(pool, schema)


@asynccontextmanager
async def open_seller(url, name, max_waiting=100, pool_size=4, **callbacks):
    """Return a seller by the allocator *name*, with keys and a bound, on a pool of its own."""
    async with asyncio.timeout(TIMEOUT_S), open_pool(url, pool_size) as pool:
        yield Seller(ALLOCATORS[name], pool, "fixed", max_waiting, **callbacks)


def open_pool(url, pool_size):
    """Return a pool that waits long enough for a connection on a busy machine."""
    return Pool(url, Settings(pool_size=pool_size, pool_timeout_s=TIMEOUT_S))


async def outcome(allocator, purchase):
    """Return the tickets sold, or the exception that was raised instead."""
    try:
        return await sell(allocator, purchase)
    except Exception as problem:
        return problem


async def together(allocator, *purchases):
    """Start all purchases before the first one runs; return their outcomes in order."""
    return await asyncio.gather(*(outcome(allocator, purchase) for purchase in purchases))


async def post_purchase(http, url, **changes):
    """Buy over HTTP; return the status, the answer and the headers."""
    async with http.post(url + "/purchase", json={**BODY, **changes}) as response:
        return response.status, await response.json(), response.headers


async def get_status(http, url):
    """Return the status that a GET of *url* is answered with."""
    async with http.get(url) as response:
        return response.status


async def read_metrics(http, url):
    """Return the service's metrics, asked for on a connection of its own."""
    async with http.get(url + "/metrics", headers={"Connection": "close"}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = (await response.text()).splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
    }
