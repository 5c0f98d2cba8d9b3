"""What really happened in a burst: each statement of each purchase, by recorded times."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from ticketsvc.database.statements import load
from ticketsvc.lab.experiments.bursts import Burst, run_bursts
from ticketsvc.lab.experiments.lab import Lab


async def traced_burst(
    lab: Lab, event: str, total: int, purchases: int, quantity: int
) -> tuple[Burst, pd.DataFrame]:
    """Run one burst of *naive* with every statement recorded by the server.

    Return the burst and its steps, as `read_steps` does, from when its reads were released.
    """
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.jsonl"
        [burst] = await run_bursts(
            lab,
            "naive",
            event=event,
            kinds=[(purchases, total)],
            quantity=quantity,
            trace=trace,
        )
        return burst, read_steps(trace, burst.reads_released_s)


def read_steps(trace: Path, since_s: float | None = None) -> pd.DataFrame:
    """Return the steps of *naive* on the original schema from a trace, in the order they ended.

    Columns: purchase (1, 2 … in order of their reads), step (read_pool, insert_ticket,
    decrement), began_ms and ended_ms since the first read was free, quantity, number (the ticket
    inserted), read_available (what the read returned), stale_by (for a decrement: how many
    rivals subtracted between this purchase's read and its own subtraction). What a statement
    waited before *since_s* is left out.
    """
    names = {
        statement.query.decode(): name for name, statement in load("naive", "original").items()
    }
    records = [json.loads(line) for line in trace.read_text().splitlines()]
    steps = pd.DataFrame([_step(record, names[record["statement"]]) for record in records])
    steps = steps.sort_values("ended_ms", ignore_index=True)
    if since_s is not None:
        times = ["began_ms", "ended_ms"]
        steps[times] = steps[times].clip(lower=since_s * 1000)
    start = steps["began_ms"].min()
    steps[["began_ms", "ended_ms"]] -= start
    reads = steps[steps["step"] == "read_pool"]
    order = {name: number for number, name in enumerate(reads["purchase"], start=1)}
    steps["purchase"] = steps["purchase"].map(order)
    return _mark_stale(steps)


def _step(record: dict[str, Any], name: str) -> dict[str, Any]:
    parameters = record["parameters"]
    return {
        "purchase": record["purchase"],
        "step": name,
        "began_ms": record["began_s"] * 1000,
        "ended_ms": record["ended_s"] * 1000,
        "quantity": parameters.get("quantity", 0),
        "number": parameters.get("number"),
        "read_available": record["first"][1] if record["first"] else None,
    }


def _mark_stale(steps: pd.DataFrame) -> pd.DataFrame:
    subtractions = steps[steps["step"] == "decrement"]
    reads = steps[steps["step"] == "read_pool"].set_index("purchase")["ended_ms"]
    stale = {
        index: int(subtractions["ended_ms"].between(reads[row.purchase], row.ended_ms).sum()) - 1
        for index, row in zip(subtractions.index, subtractions.itertuples(index=False), strict=True)
    }
    return steps.assign(stale_by=pd.Series(stale, dtype="Int64"))
