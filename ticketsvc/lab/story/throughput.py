"""What notebook 08 says: how fast one hot event sells, and what limits it."""

import math
from collections.abc import Sequence

import pandas as pd

from ticketsvc.allocators.group_commit import MAX_BATCH
from ticketsvc.lab.bench.lock_hold import Hold
from ticketsvc.lab.bench.throughput import Throughput, mean_batch
from ticketsvc.lab.story import Claims

ANSWER = "The purchases of a hot event go one after another, unless they share a commit."


def one_after_another(alone: Sequence[Hold]) -> str:
    """Say how long one purchase takes, and how many that allows per second."""
    single = _range(alone)
    return (
        f"One purchase of `range` keeps the event's row for {1e3 * single.seconds:.2f} ms at "
        f"least. {1e3 * single.flush_s:.2f} ms of that are the flush. One after another, that "
        f"makes at most {single.predicted_per_s:,.0f} purchases a second."
    )


def _range(alone: Sequence[Hold]) -> Hold:
    [single] = [one for one in alone if one.allocator == "range"]
    return single


def sharing_a_commit_sells_more(measured: Throughput) -> str:
    """Say what group commit sells beside the others, with the most clients and with the fewest."""
    rates = measured.by_connections.pivot(
        index="connections", columns="name", values="goodput_per_s"
    )
    few, most = rates.iloc[0], rates.iloc[-1]
    group = most["group_commit"]
    return (
        f"**What this shows.** With {rates.index.max()} clients group commit sells {group:,.0f} "
        f"purchases a second: {group / most['range']:.1f} times what `range` sells, and "
        f"{group / most['noop']:.0%} of the no-op. With {rates.index.min()} it sells "
        f"{few['group_commit'] / few['range']:.1f} times as much as `range`, which sells one in "
        f"{1e3 / few['range']:.1f} ms there: the answer and the next request lie between two. "
        f"With {rates.index.max()} the next already waits for the row: one in "
        f"{1e3 / most['range']:.1f} ms, which is the limit."
    )


def the_model_finds_the_fastest(predictions: pd.DataFrame) -> str:
    """Say what the model predicts beside what was measured."""
    model = predictions.set_index("allocator")
    group = model.loc["group_commit"]
    single, rows = model.loc["range"], model.loc["ticket_rows"]
    return (
        f"**What this shows.** Predicted for `range`: {single['predicted_per_s']:,.0f} purchases "
        f"a second, measured {single['measured_per_s']:,.0f}; for `ticket_rows` "
        f"{rows['predicted_per_s']:,.0f} and {rows['measured_per_s']:,.0f}. Group commit holds the "
        f"row {group[['trips_ms', 'work_ms', 'flush_ms']].sum():.1f} ms for "
        f"{group['purchases_per_commit']:.0f} purchases, which allows "
        f"{group['predicted_per_s']:,.0f} a second; it sold {group['measured_per_s']:,.0f}. The "
        "model tells which is the fastest, and not by how much: under load each part takes longer."
    )


def how_many_share_a_commit(measured: Throughput, at: int, few: int) -> str:
    """Say how many purchases a commit carries with many clients and with *few*."""
    many, alone = (mean_batch(measured.batches, "group_commit", each) for each in (at, few))
    return (
        "Group commit sets no timer. While one commit is in progress, further purchases arrive. "
        "The next commit takes those that wait, but at most half of the buyers: the service "
        f"answers the others meanwhile. The average commit carries {many:.1f} purchases with {at} "
        f"clients, and {alone:.1f} with {few}. The limit is {MAX_BATCH}."
    )


def not_durable_is_a_risk(
    measured: Throughput, effects: "pd.Series[float]", alone: Sequence[Hold]
) -> str:
    """Say what not waiting for the flush brings, and what a crash would lose."""
    rates = measured.of_durability("goodput_per_s").loc["range"]
    risk = measured.of_durability("at_risk_purchases").loc["range"]
    flush = (
        f"(so the flush takes {1e3 * (1 / rates[True] - 1 / rates[False]):.2f} ms a purchase, and "
        f"{1e3 * _range(alone).flush_s:.2f} alone) "
        if effects["range"] > 1
        else ""
    )
    runs = int(measured.durability["repetitions"].min())
    return (
        f"**What this shows.** Not waiting for the flush, `range` {_effect(effects['range'])} "
        f"{flush}and `group_commit` {_effect(effects['group_commit'])}. (Of equals, "
        f"{2 / math.comb(2 * runs, runs):.0%} look resolved by chance.) A crash would lose up to "
        f"{risk[False]:,.0f} purchases of `range`, nearly all confirmed. Durable, at most "
        f"{risk[True]:,.1f} purchases' worth of its log is not on disk, and no buyer has been told "
        "of them."
    )


def _effect(times: float) -> str:
    if math.isnan(times):
        return "shows no resolved difference"
    return f"sells {times:.1f} times as much"


def claims(measured: Throughput, at: int, few: int) -> Claims:
    """Return what the answer rests on, and whether each of it is so."""
    risk = measured.of_durability("at_risk_purchases").loc["range"]
    single, rows, group = (
        measured.per_purchase("wal_bytes", name, at)
        for name in ("range", "ticket_rows", "group_commit")
    )
    return {
        "every ledger is clean and agrees with the clients": measured.clean,
        "range commits once per purchase": mean_batch(measured.batches, "range", at) == 1,
        "with a single client, so does group commit": (
            mean_batch(measured.batches, "group_commit", few) == 1
        ),
        f"with {at} clients a commit carries at least three purchases": (
            mean_batch(measured.batches, "group_commit", at) >= 3
        ),
        "a purchase of 8 writes at least 2.5 times the WAL as rows": rows >= 2.5 * single,
        "in a shared commit it writes less than alone": group < single,
        "not durable, more purchases are at risk": risk[False] > risk[True],
    }


def claims_of_speed(measured: Throughput, predictions: pd.DataFrame, at: int) -> Claims:
    """Return what is claimed of rates, measured and predicted."""
    model = predictions.set_index("allocator")
    named = model.loc[["ticket_rows", "range", "group_commit"]]
    best = {named["predicted_per_s"].idxmax(), named["measured_per_s"].idxmax()}
    return {
        f"at {at} clients group commit sells at least 1.2 times what range does": (
            measured.rate("group_commit", at) >= 1.2 * measured.rate("range", at)
        ),
        "of ticket_rows, range and it, the model ranks group commit first, as measured": (
            best == {"group_commit"}
        ),
        "nothing sells over three times what the model allows": not (
            model["measured_per_s"] > 3 * model["predicted_per_s"]
        ).any(),
    }
