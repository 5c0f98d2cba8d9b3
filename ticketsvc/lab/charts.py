"""Charts: a table in, a labelled figure out. No database, no clock, nothing shown.

Every title states what is to be seen, from the data themselves.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ticketsvc.lab.charting import (
    COLOURS,
    LINE_COLOURS,
    REFERENCE,
    draw_intervals,
    new_figure,
    say_finding,
)

_STEP_COLOURS = {"read_pool": "#56B4E9", "insert_ticket": "#999999", "decrement": "#D55E00"}
_STEP_LABELS = {
    "read_pool": "reads the stock",
    "insert_ticket": "inserts a ticket",
    "decrement": "subtracts",
}


def stock(pools: pd.DataFrame) -> Figure:
    """Draw what is sold and what is left of each event.

    *pools*: event, total, available, issued.
    """
    figure, [axes] = new_figure()
    sold = pools["total"] - pools["available"]
    axes.barh(pools["event"], sold, color="#0072B2", label="sold")
    axes.barh(pools["event"], pools["available"], left=sold, color="#BBD9EA", label="available")
    axes.invert_yaxis()
    say_finding(
        axes,
        f"{len(pools)} events, {int(sold.sum()):,} of {int(pools['total'].sum()):,} tickets sold",
    )
    axes.set_xlabel("tickets")
    axes.set_ylabel("event")
    axes.legend(frameon=False, loc="lower right")
    return figure


def copies_of_numbers(numbers: Sequence[int], total: int, allocator: str) -> Figure:
    """Draw how many times each ticket number was issued.

    *numbers*: every number issued, copies included.
    """
    figure, [axes] = new_figure()
    copies = pd.Series(numbers).value_counts().sort_index()
    axes.bar(copies.index, copies.to_numpy(), color=COLOURS[allocator], width=0.8)
    axes.axhline(
        1, color=REFERENCE, linestyle="--", linewidth=1, label="once: what a ticket allows"
    )
    most = int(copies.max())
    say_finding(
        axes,
        f"{allocator}: {len(numbers)} tickets issued of {total}, "
        f"{'each number once' if most == 1 else f'a number up to {most} times'}",
    )
    axes.set_xlabel("ticket number")
    axes.set_ylabel("times issued")
    axes.set_ylim(0, most * 1.2)
    axes.legend(frameon=False, loc="upper right")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def issued_against_total(bursts: pd.DataFrame) -> Figure:
    """Draw, per kind of burst, the tickets issued in each repetition against the stock.

    *bursts*: purchases, total, tickets, unique, duplicates, one row per burst.
    """
    figure, [axes] = new_figure()
    kinds = bursts.groupby(["purchases", "total"], sort=False)
    for place, (_, kind) in enumerate(kinds):
        unique, issued = kind["unique"].mean(), kind["tickets"].mean()
        axes.plot([unique, issued], [place, place], color=COLOURS["naive"], linewidth=3)
        hits = int((kind["duplicates"] > 0).sum())
        axes.annotate(
            f"{hits} of {len(kind)} bursts damaged",
            xy=(issued, place),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    means = kinds[["unique", "tickets", "total"]].mean()
    places = range(len(means))
    axes.plot(means["tickets"], places, "o", color=COLOURS["naive"], label="tickets given out")
    axes.plot(means["unique"], places, "o", color="#0072B2", label="different numbers among them")
    axes.plot(
        means["total"], places, "|", color=REFERENCE, markersize=22, label="tickets there are"
    )
    axes.set_yticks(places)
    axes.set_yticklabels(
        [f"{purchases} purchases, total {total}" for purchases, total in means.index]
    )
    axes.set_ylim(len(means) - 0.5, -0.6)
    axes.set_xscale("log")
    axes.set_xlim(right=means["tickets"].max() * 8)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    damaged = sum(bool((kind["duplicates"] > 0).all()) for _, kind in kinds)
    say_finding(axes, f"{damaged} of {len(kinds)} kinds of burst: duplicates in every burst")
    axes.set_xlabel("tickets (mean per burst)")
    axes.set_ylabel("kind of burst")
    axes.legend(
        frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.4, -0.18), ncols=3
    )
    return figure


def timeline(steps: pd.DataFrame) -> Figure:
    """Draw each purchase's statements over time, with the stale reads marked.

    *steps*: as `timeline.read_steps` gives them.
    """
    purchases = int(steps["purchase"].max())
    figure, [axes] = new_figure(height=1.6 + 0.17 * purchases)
    widths = (steps["ended_ms"] - steps["began_ms"]).clip(lower=0.15)
    for name, label in _STEP_LABELS.items():
        chosen = steps["step"] == name
        axes.barh(
            steps["purchase"][chosen],
            widths[chosen],
            left=steps["began_ms"][chosen],
            height=0.75,
            color=_STEP_COLOURS[name],
            label=label,
        )
    subtractions = steps[steps["step"] == "decrement"]
    reads = steps[steps["step"] == "read_pool"]
    stale = set(subtractions["purchase"][subtractions["stale_by"] > 0])
    marked = reads[reads["purchase"].isin(stale)]
    axes.plot(
        marked["ended_ms"],
        marked["purchase"],
        "x",
        color="black",
        markersize=4,
        label="stale when acted upon",
    )
    first = subtractions["ended_ms"].min()
    axes.axvline(first, color=REFERENCE, linestyle="--", linewidth=1)
    axes.annotate(
        "first subtraction",
        xy=(first, 0),
        xytext=(-3, 2),
        textcoords="offset points",
        ha="right",
        fontsize="small",
        color=REFERENCE,
    )
    early = int((reads["ended_ms"] <= first).sum())
    say_finding(
        axes,
        f"{early} of {purchases} purchases had read the stock before the first subtracted: "
        f"{len(stale)} stale reads",
    )
    axes.set_ylim(purchases + 0.8, -0.8)
    axes.set_xlabel("time since the first statement (ms)")
    axes.set_ylabel("purchase, in order of its read")
    axes.set_yticks([1, *range(5, purchases + 1, 5)])
    axes.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, fontsize="small"
    )
    return figure


def damage_by_purchases(probabilities: pd.DataFrame, window_ms: float) -> Figure:
    """Draw the probability of damage against the purchases in the window, per pool size.

    *probabilities*: as `damage.by_purchases` gives them. Bars are 95 % intervals (Wilson).
    """
    figure, [axes] = new_figure()
    sizes = probabilities.groupby("pool_size")
    for colour, shift, (size, rows) in zip(
        LINE_COLOURS, (-0.06, 0.0, 0.06, 0.12), sizes, strict=False
    ):
        draw_intervals(
            axes, rows["purchases"] + shift, rows, colour, f"pool of {size}: {_many(rows)} bursts"
        )
    alone = probabilities[probabilities["purchases"] == 1]["damaged"].sum()
    most = int(probabilities["purchases"].max())
    crowd = probabilities[probabilities["purchases"] == most]["probability"].min()
    share = (
        "every burst is damaged" if crowd == 1 else f"{crowd:.0%} of bursts are damaged, or more"
    )
    say_finding(
        axes, f"Alone: {alone} bursts damaged. {most} purchases, whatever the pool: {share}"
    )
    axes.set_xlabel(f"purchases that arrive within {window_ms:.0f} ms")
    axes.set_ylabel("probability of damage")
    axes.set_ylim(-0.03, 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="lower right")
    return figure


def damage_by_gap(probabilities: pd.DataFrame, purchase_ms: float) -> Figure:
    """Draw the probability that two purchases collide against the time between them.

    *probabilities*: as `damage.by_gap` gives them; *purchase_ms*: how long one purchase takes.
    """
    figure, [axes] = new_figure()
    draw_intervals(
        axes,
        probabilities["gap_ms"],
        probabilities,
        COLOURS["naive"],
        f"two purchases, {_many(probabilities)} times each",
    )
    axes.axvline(purchase_ms, color=REFERENCE, linestyle="--", linewidth=1)
    axes.annotate(
        f"one purchase takes {purchase_ms:.1f} ms",
        xy=(purchase_ms, 1.02),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize="small",
        color=REFERENCE,
    )
    near = probabilities["gap_ms"] < purchase_ms
    close, far = probabilities[near]["probability"], probabilities[~near]["probability"]
    say_finding(
        axes,
        f"Closer together than one purchase takes, {close.mean():.0%} of pairs collide; "
        f"further apart, {far.mean():.0%}",
    )
    axes.set_xlabel("second purchase sent after the first (ms)")
    axes.set_ylabel("probability of damage")
    axes.set_ylim(-0.03, 1.12)
    axes.legend(frameon=False, loc="center right")
    return figure


def before_and_after(bursts: pd.DataFrame) -> Figure:
    """Draw the tickets issued by each allocator in the same burst, against the stock.

    *bursts*: allocator, schema, total, unique, duplicates, one row per allocator and schema.
    """
    figure, [axes] = new_figure()
    labels = [f"{row.allocator}\non {row.schema}" for row in bursts.itertuples()]
    colours = [COLOURS[name] for name in bursts["allocator"]]
    axes.bar(labels, bursts["unique"], color=colours)
    axes.bar(
        labels, bursts["duplicates"], bottom=bursts["unique"], color=colours, alpha=0.45, hatch="//"
    )
    total = int(bursts["total"].iloc[0])
    axes.axhline(total, color=REFERENCE, linestyle="--", linewidth=1)
    for place, row in enumerate(bursts.itertuples()):
        words = f"{row.unique + row.duplicates} issued"
        if row.duplicates:
            words += f",\n{row.duplicates} of them copies"
        axes.annotate(
            words,
            xy=(place, row.unique + row.duplicates),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.margins(y=0.2)
    say_finding(
        axes,
        f"{int((bursts['unique'] + bursts['duplicates'] > total).sum())} of {len(bursts)} oversell "
        f"(dashed: the {total} tickets there are)",
    )
    axes.set_ylabel("tickets issued")
    axes.set_xlabel("allocator and schema")
    return figure


def who_sold_what(sales: pd.DataFrame, total: int) -> Figure:
    """Draw which process sold each ticket number.

    *sales*: process (its port), number, one row per ticket that a buyer was told of.
    """
    figure, [axes] = new_figure(height=2.6)
    processes = sorted(sales["process"].unique())
    for place, (colour, process) in enumerate(zip(LINE_COLOURS, processes, strict=False)):
        numbers = sales["number"][sales["process"] == process]
        axes.bar(
            numbers,
            [0.8] * len(numbers),
            bottom=place + 0.1,
            width=0.9,
            color=colour,
        )
    axes.set_yticks([place + 0.5 for place in range(len(processes))])
    axes.set_yticklabels([f"process on {process}" for process in processes])
    say_finding(
        axes,
        f"{len(sales)} tickets sold by {len(processes)} processes: "
        f"{sales['number'].nunique()} different numbers",
    )
    axes.set_xlim(0.4, max(total, int(sales["number"].max())) + 0.6)
    axes.axvline(total + 0.5, color=REFERENCE, linestyle="--", linewidth=1)
    axes.set_xlabel(f"ticket number (there are {total})")
    axes.set_ylabel("sold by")
    return figure


def wal_by_quantity(volumes: pd.DataFrame) -> Figure:
    """Draw the WAL bytes per purchase and per ticket against the quantity, per allocator.

    *volumes*: as `write_volume.measure` gives them.
    """
    figure, [per_purchase, per_ticket] = new_figure(width=10, panels=2)
    for name, rows in volumes.groupby("allocator"):
        for axes, column in ((per_purchase, "wal_bytes"), (per_ticket, "wal_bytes_per_ticket")):
            axes.plot(rows["quantity"], rows[column], color=COLOURS[name], marker="o", label=name)
    growth = volumes.groupby("allocator")["wal_bytes"].agg(
        lambda bytes_: bytes_.max() / bytes_.min()
    )
    for axes, what in ((per_purchase, "purchase"), (per_ticket, "ticket")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sorted(volumes["quantity"].unique()))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel("tickets per purchase")
        axes.set_ylabel(f"WAL per {what} (bytes)")
        axes.legend(frameon=False)
    words = ", ".join(f"{name} ×{times:.1f}" for name, times in growth.items())
    say_finding(per_purchase, f"Per purchase, most to least: {words}")
    least = int(volumes["purchases"].min())
    say_finding(per_ticket, f"Per ticket ({least} purchases or more each)")
    return figure


def size_by_quantity(volumes: pd.DataFrame) -> Figure:
    """Draw heap and index bytes per purchase against the quantity, per allocator."""
    figure, [axes] = new_figure()
    quantities = sorted(volumes["quantity"].unique())
    for name, rows in volumes.groupby("allocator"):
        for what, style in (("heap", "-"), ("index", ":")):
            axes.plot(
                rows["quantity"],
                rows[f"{what}_bytes"],
                style,
                marker="o",
                color=COLOURS[name],
                label=f"{name}: {what}",
            )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(quantities)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    biggest = volumes[volumes["quantity"] == quantities[-1]].set_index("allocator")
    size = biggest["heap_bytes"] + biggest["index_bytes"]
    say_finding(
        axes,
        f"At {quantities[-1]} tickets a purchase, {size.idxmax()} stores "
        f"{size.max() / size.min():,.0f} times what {size.idxmin()} does",
    )
    axes.set_xlabel("tickets per purchase")
    axes.set_ylabel("stored per purchase (bytes)")
    axes.legend(frameon=False, ncols=2, fontsize="small")
    return figure


def price_of_nets(nets: pd.DataFrame) -> Figure:
    """Draw the WAL bytes per purchase under each safety net.

    *nets*: as `safety_nets.measure` gives them.
    """
    figure, [axes] = new_figure()
    table = nets.pivot(index="net", columns="batch", values="wal_bytes")
    table = table.loc[list(nets["net"].unique())]
    batches = list(table.columns)
    for place, (batch, colour) in enumerate(zip(batches, ("#0072B2", "#56B4E9"), strict=False)):
        bars = axes.barh(
            [row + 0.36 * place for row in range(len(table))],
            table[batch],
            height=0.34,
            color=colour,
            label=f"{batch} purchase{'s' if batch > 1 else ''} per statement",
        )
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize="small")
    axes.set_yticks([row + 0.18 * (len(batches) - 1) for row in range(len(table))])
    axes.set_yticklabels([name.replace("_", " ") for name in table.index])
    axes.invert_yaxis()
    chain, trigger = (table.loc[name].iloc[-1] for name in ("chain", "sequence_trigger"))
    say_finding(
        axes, f"In batches the sequence trigger writes {trigger / chain:.0%} of what the chain does"
    )
    axes.set_xlabel("WAL per purchase (bytes)")
    axes.set_ylabel("safety net")
    axes.legend(frameon=False, loc="lower right")
    return figure


def _many(rows: pd.DataFrame) -> str:
    return str(int(rows["repetitions"].iloc[0]))
