"""A ticket service on aiohttp and psycopg, with nothing that ticketsvc itself does not need.

MODE=naive reads, decides and writes, each statement on its own; MODE=fixed lets one conditional
UPDATE decide, in a transaction.
"""

import asyncio
import os

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

INSERT = (
    "INSERT INTO issued_tickets (event_id, user_id, ticket_number) "
    "SELECT %s, %s, n FROM generate_series(%s::int, %s::int) AS n"
)

POOL = web.AppKey("pool", AsyncConnectionPool)


async def run(pool, sql, values):
    """Run one statement on a connection of the pool, and commit it."""
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        cursor = await connection.execute(sql, values)
        return await cursor.fetchone() if cursor.description else None


async def buy_naive(pool, user, event, quantity):
    """Return the first number sold, or None."""
    stock = await run(
        pool, "SELECT total, available FROM ticket_pools WHERE event_id = %s", [event]
    )
    if stock is None or stock[1] < quantity:
        return None
    first = stock[0] - stock[1] + 1
    await run(pool, INSERT, [event, user, first, first + quantity - 1])
    await run(
        pool,
        "UPDATE ticket_pools SET available = available - %s WHERE event_id = %s",
        [quantity, event],
    )
    return first


async def buy_fixed(pool, user, event, quantity):
    """Return the first number sold, or None."""
    async with pool.connection() as connection, connection.transaction():
        cursor = await connection.execute(
            "UPDATE ticket_pools SET available = available - %(quantity)s "
            "WHERE event_id = %(event)s AND available >= %(quantity)s "
            "RETURNING total - available - %(quantity)s + 1 AS first",
            {"quantity": quantity, "event": event},
        )
        reserved = await cursor.fetchone()
        if reserved is None:
            return None
        first = reserved[0]
        await connection.execute(INSERT, [event, user, first, first + quantity - 1])
        return first


buy = buy_fixed if os.environ.get("MODE") == "fixed" else buy_naive


async def purchase(request):
    """Sell, or refuse."""
    asked = await request.json()
    quantity = asked["quantity"]
    first = await buy(request.app[POOL], asked["userId"], asked["eventId"], quantity)
    if first is None:
        return web.json_response({"error": "Not enough tickets available"}, status=409)
    return web.json_response({"success": True, "tickets": list(range(first, first + quantity))})


async def healthz(_):
    """Answer once the server runs."""
    return web.json_response({"status": "alive"})


async def open_pool(app):
    """Keep ten connections for as long as the service runs."""
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=10) as pool:
        await pool.wait()
        app[POOL] = pool
        yield


app = web.Application()
app.cleanup_ctx.append(open_pool)
app.add_routes([web.get("/healthz", healthz), web.post("/purchase", purchase)])

if __name__ == "__main__":
    # On Windows psycopg needs this kind of loop.
    loop = asyncio.SelectorEventLoop()
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), loop=loop)
