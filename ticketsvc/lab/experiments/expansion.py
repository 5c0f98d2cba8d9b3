"""Several instances with different allocators on one event, and ranges expanded while it sells."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from yarl import URL

from ticketsvc.database.expansion import Expansion, expand
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.experiments.commit_cost import reserve
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each


@dataclass(frozen=True)
class MixedSale:
    """What several instances sold, while and after ranges became rows."""

    sold: pd.DataFrame
    during: Expansion
    after: Expansion
    verdict: EventVerdict

    @property
    def expanded(self) -> int:
        """How many tickets were sold in a range and have a row each now."""
        return self.during.tickets + self.after.tickets


async def expand_one_purchase(lab: Lab, *, event: str) -> pd.DataFrame:
    """Sell one purchase of 8 as a range, then give each of its tickets a row.

    One row before and one after: rows in the ledger, tickets, clean.
    """
    await asyncio.to_thread(lab.reset, "fixed", event, 8)
    await asyncio.to_thread(reserve, lab, event, 1)
    before = await asyncio.to_thread(_count, lab, event)
    await expand(lab.url, event=event, workers=1)
    after = await asyncio.to_thread(_count, lab, event)
    columns = ["rows", "tickets", "clean"]
    return pd.DataFrame([before, after], columns=columns, index=["as a range", "expanded"])


def _count(lab: Lab, event: str) -> tuple[int, int, bool]:
    ledger = lab.ledger("fixed", event)
    verdict = check_event(ledger)
    return len(ledger.issues), verdict.issued, verdict.clean


async def sell_mixed(
    lab: Lab, allocators: Sequence[str], workload: Workload, *, total: int, workers: int
) -> MixedSale:
    """Sell one event by an instance of each allocator; expand its ranges meanwhile, and after."""
    event = workload.event
    await asyncio.to_thread(lab.reset, "fixed", event, total)
    wanted = [(name, {"schema": "fixed"}) for name in allocators]
    with running_each(lab.url, wanted) as urls, counted("purchases", workload.purchases) as count:
        selling = asyncio.create_task(run_workload(urls, workload, on_answer=lambda _: count()))
        during = Expansion(0, 0)
        try:
            while not selling.done():
                part = await expand(lab.url, event=event, workers=workers)
                during = Expansion(during.tickets + part.tickets, part.ranges_left)
                await asyncio.sleep(0.02)
            history = await selling
        finally:
            selling.cancel()
    after = await expand(lab.url, event=event, workers=workers)
    by_port = {
        URL(url).port: f"{name} {n}"
        for n, (url, name) in enumerate(zip(urls, allocators, strict=True), 1)
    }
    sold = pd.Series([by_port[URL(one.url).port] for one in history for _ in one.tickets])
    verdict = await asyncio.to_thread(lab.audit, "fixed", event, history)
    by_instance = sold.value_counts().to_frame("tickets")
    return MixedSale(by_instance, during, after, verdict)
