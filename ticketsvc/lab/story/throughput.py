"""What notebook 08 says: how fast one hot event sells, and what limits it."""

import math

import pandas as pd

from ticketsvc.allocators.group_commit import MAX_BATCH
from ticketsvc.lab.bench.lock_hold import Hold
from ticketsvc.lab.bench.throughput import (
    Throughput,
    effects_of_not_waiting,
    mean_batch,
)
from ticketsvc.lab.story import Claims

ANSWER = "The purchases of a hot event go one after another, unless they share a commit."
BY_CONNECTIONS = (
    "Lines: purchases sold per second against connections, on logarithmic scales, for each safe "
    "allocator, and the no-op above them"
)
LOCK_HOLD = (
    "Two panels of bars per allocator: the time under the lock in round trips, work and flush; "
    "and the purchases per second predicted from it beside those measured"
)
DURABILITY = (
    "Two panels of bars per allocator, durable and not: purchases sold per second, and the most "
    "purchases that were in the log and not yet on disk"
)


def one_after_another(alone: Hold) -> str:
    """Say how long one purchase takes, and how many that allows per second."""
    return (
        f"One purchase of `range` keeps the event's row for {1e3 * alone.seconds:.2f} ms. "
        f"{1e3 * alone.flush_s:.2f} ms of that are the flush. One after another, that makes at "
        f"most {alone.predicted_per_s:,.0f} purchases a second."
    )


def sharing_a_commit_sells_more(measured: Throughput) -> str:
    """Say how many times what each other sells group commit does, for each number of clients."""
    rates = measured.by_connections.pivot(
        index="connections", columns="name", values="goodput_per_s"
    )
    times = rates[["group_commit"]].to_numpy() / rates[["range", "ticket_rows"]]
    each = "; ".join(
        f"{row['range']:.1f} and {row['ticket_rows']:.1f} with {at}" for at, row in times.iterrows()
    )
    most = rates.iloc[-1]
    return (
        "**What this shows.** What group commit sells, as a multiple of `range` and of "
        f"`ticket_rows`, by the number of clients: {each}. With {rates.index.max()} it sells "
        f"{most['group_commit']:,.0f} purchases a second, "
        f"{most['group_commit'] / most['noop']:.0%} of the no-op."
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
        "model tells which is the fastest, and not by how much: it knows nothing of the load on "
        "the processors, which service, database and clients share here."
    )


def how_many_share_a_commit(measured: Throughput, at: int, few: int) -> str:
    """Say how many purchases a commit carries with many clients and with *few*."""
    alone = 1 / measured.per_purchase("transactions", "group_commit", few)
    return (
        "Group commit sets no timer. While one commit is in progress, further purchases arrive. "
        "The next commit takes those that wait, but at most half of the buyers: the service "
        f"answers the others meanwhile. With {at} clients it takes "
        f"{mean_batch(measured.batches, 'group_commit'):.1f} on average, with {few} {alone:.2f}, "
        f"and never more than {MAX_BATCH}."
    )


def not_durable_is_a_risk(measured: Throughput) -> str:
    """Say what not waiting for the flush brings, and what a crash would lose."""
    effects = effects_of_not_waiting(measured.durability)
    risk = measured.of_durability("at_risk_purchases").loc["range"]
    return (
        f"**What this shows.** Not waiting for the flush: `range` {_effect(effects['range'])}, "
        f"`group_commit` {_effect(effects['group_commit'])}. It leaves up to {risk[False]:,.0f} "
        "purchases of `range` in the log that a crash would lose, nearly all confirmed. Durable, "
        f"it is {risk[True]:,.1f} purchases' worth of log at most, and no buyer has been told of "
        "them."
    )


def _effect(times: float) -> str:
    return "no difference resolved" if math.isnan(times) else f"{times:.1f} times as fast"


def claims(measured: Throughput, at: int, few: int) -> Claims:
    """Return what the answer rests on, and whether each of it is so."""
    risk = measured.of_durability("at_risk_purchases").loc["range"]
    single, rows, group = (
        measured.per_purchase("wal_bytes", name, at)
        for name in ("range", "ticket_rows", "group_commit")
    )
    return {
        "every ledger is clean and agrees with the clients": measured.clean,
        "range commits once per purchase": (
            0.9 <= measured.per_purchase("transactions", "range", at) <= 1.1
        ),
        "with a single client, so does group commit": (
            0.9 <= measured.per_purchase("transactions", "group_commit", few) <= 1.1
        ),
        f"with {at} clients a commit carries at least three purchases": (
            mean_batch(measured.batches, "group_commit") >= 3
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
