"""The smallest fault: a buyer whose answer was lost sends the same purchase again."""

import asyncio

import pandas as pd

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.pool import Pool
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.purchases import Purchase
from ticketsvc.sales.seller import Seller
from ticketsvc.settings import Settings


async def ask_twice(lab: Lab, event: str) -> pd.DataFrame:
    """Send one purchase twice with a key, and another one twice without.

    One row for each: what it was sent with, first answer, second answer, tickets held.
    """
    await asyncio.to_thread(lab.reset, "fixed", event, 32)
    rows = []
    async with Pool(lab.url, Settings(pool_size=1)) as pool:
        seller = Seller(ALLOCATORS["range"], pool, "fixed", most=1)
        for title, key in (("with a key", f"{event}-1"), ("without", None)):
            purchase = Purchase("buyer", event, 8, key)
            sold = [await seller.sell(purchase), await seller.sell(purchase)]
            answers = [f"tickets {one.first} to {one.last}" for one in sold]
            held = {number for one in sold for number in range(one.first, one.last + 1)}
            rows.append((title, *answers, len(held)))
    columns = ["sent", "first answer", "second answer", "tickets held"]
    return pd.DataFrame(rows, columns=columns).set_index("sent")
