"""Print where each allocator appears, as JSON: run in a copy of the package by a test.

What would start services is asked whom it would start. The rest runs, as small as it can be.
"""

import asyncio
import itertools
import json
import re
from types import SimpleNamespace

import pandas as pd
from click.testing import CliRunner

from ticketsvc.allocators import SAFE
from ticketsvc.cli import ticketsvc
from ticketsvc.lab import charts
from ticketsvc.lab.bench import throughput
from ticketsvc.lab.bench.write_volume import measure_write_volume
from ticketsvc.lab.experiments import cost_of_fixes
from ticketsvc.lab.experiments.lab import open_lab
from ticketsvc.lab.explore.mechanism_matrix import MECHANISMS, explore_fixes, mechanisms


class Asked(Exception):
    """The names of those that would have been started."""


def ask(_, wanted, **__):
    raise Asked(wanted)


async def asked(awaitable):
    try:
        await awaitable
    except Asked as problem:
        return problem.args[0]


def words(figure):
    """Return all that *figure* says, and what its axes name."""
    for axes in figure.axes:
        yield from (one.get_text() for one in [*axes.texts, *axes.get_yticklabels()])


def rows(*columns, **same):
    """Return a table with a row for each safe allocator and each of *columns*, and the *same*."""
    pairs = itertools.product(SAFE, columns or [None])
    return pd.DataFrame([{"name": name, "durable": value} for name, value in pairs]).assign(
        allocator=lambda table: table["name"], **same
    )


async def main():
    lab = open_lab()
    cost_of_fixes.running_each = throughput.open_bench = ask
    costs = {"event": "E", "purchases": 4, "buyers": 1, "repetitions": 1}
    loads = {"connections": [1], "at": 1, "seconds": 0.1, "repetitions": 1}
    fixes = await explore_fixes(lab.url)
    volumes = await measure_write_volume(lab, event="E", quantities=[8], purchases=5)
    measured = SimpleNamespace(per_purchase=lambda *_: 1.0, rate=lambda *_: 100.0)
    alone = await throughput.time_one_purchase(lab, repetitions=1)
    predictions = await throughput.predict(lab, measured, alone, connections=1, repetitions=1)
    candidates = await asked(asyncio.to_thread(throughput.measure_throughput, lab, **loads))
    sold = rows(schema="fixed", total=8, unique=8, duplicates=0, process=1, number=1)
    rates = rows(True, kind="allocator", connections=1, goodput_per_s=1.0, repetitions=1, sold=1)
    pairs = rows(
        *(True, False),
        **{"goodput_per_s": 2.0, "goodput_min": 1.0, "goodput_max": 3.0},
        **{"at_risk_purchases": 1.0, "repetitions": 1},
    )
    helping = ["serve", "--help"]
    effects = pd.Series(dict.fromkeys(SAFE, 2.0))
    found = {
        "serve --help": re.findall(r"\w+", CliRunner().invoke(ticketsvc, helping).output),
        "07, the matrix": MECHANISMS,
        "07, the mechanisms": mechanisms()["allocator"],
        "04, which fix": fixes["allocator"],
        "04, the costs": [
            name
            for name, _ in await asked(
                cost_of_fixes.cost_of_fixes(lab, fixes["allocator"], **costs)
            )
        ],
        "04, the chart": words(charts.before_and_after(sold)),
        "05, the chart": words(charts.who_sold_what(sold, 8)),
        "06, the table": volumes["allocator"],
        "06, the chart": words(charts.wal_by_quantity(volumes)),
        "08, durable": [one.name for one in candidates if one.durable],
        "08, not durable": [one.name for one in candidates if not one.durable],
        "08, by connections": words(charts.by_connections(rates)),
        "08, the model": predictions["allocator"],
        "08, the model's chart": words(charts.lock_hold(predictions)),
        "08, durable or not": words(charts.durability(pairs, effects)),
    }
    facts = {
        "stores": volumes.set_index("allocator")["stores"].to_dict(),
        "clean": bool(volumes["clean"].all() and (fixes["clean"] == fixes["schedules"]).all()),
    }
    print(json.dumps({"where": {place: [*names] for place, names in found.items()}, **facts}))


if __name__ == "__main__":
    asyncio.run(main())
