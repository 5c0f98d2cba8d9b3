"""Buy the last ticket, with psycopg: plain and async, naive and fixed."""

import psycopg

READ = "SELECT available FROM pools WHERE id = 1"
WRITE = "UPDATE pools SET available = available - 1 WHERE id = 1"
DECIDE = f"{WRITE} AND available >= 1"


def buy_naive(database_url: str, n: int) -> None:
    """Read, decide, write, each in a transaction of its own."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(READ).fetchone()
        if row and row[0] >= 1:
            connection.execute(WRITE)


async def buy_naive_async(database_url: str, n: int) -> None:
    """Read, decide, write, each in a transaction of its own."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        row = await (await connection.execute(READ)).fetchone()
        if row and row[0] >= 1:
            await connection.execute(WRITE)


def buy_fixed(database_url: str, n: int) -> None:
    """Let one conditional UPDATE decide."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(DECIDE)


async def buy_fixed_async(database_url: str, n: int) -> None:
    """Let one conditional UPDATE decide."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(DECIDE)
