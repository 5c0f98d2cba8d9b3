"""What bursts issue, as charts."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ticketsvc.lab.charts.style import (
    COLOURS,
    INK,
    LINE_COLOURS,
    legend_below,
    new_chart,
    note,
    say_finding,
)


def copies_of_numbers(numbers: Sequence[int], total: int, allocator: str) -> Figure:
    """Draw how many times each ticket number was issued.

    *numbers*: every number issued, copies included.
    """
    figure, [axes] = new_chart()
    copies = pd.Series(numbers).value_counts().sort_index()
    axes.bar(copies.index, copies.to_numpy(), color=COLOURS[allocator], width=0.8)
    axes.axhline(1, color=INK, linestyle="--", linewidth=1)
    axes.text(1.01, 1, "once", transform=axes.get_yaxis_transform(), va="center", fontsize="small")
    most = int(copies.max())
    times = "once" if most == 1 else f"{most} times"
    each = f"each number {times}" if copies.min() == most else f"a number up to {times}"
    say_finding(axes, f"{allocator}: {len(numbers)} tickets issued of {total}, {each}")
    axes.set(xlabel="ticket number", ylabel="times issued", ylim=(0, most * 1.2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def issued_against_total(bursts: pd.DataFrame) -> Figure:
    """Draw, per kind of burst, the tickets issued in each repetition against the stock.

    *bursts*: purchases, quantity, total, tickets, unique, duplicates, one row per burst.
    """
    figure, [axes] = new_chart()
    kinds = bursts.groupby(["purchases", "quantity", "total"], sort=False)
    for place, (_, kind) in enumerate(kinds):
        unique, issued = kind["unique"].mean(), kind["tickets"].mean()
        axes.plot([unique, issued], [place, place], color=COLOURS["naive"], linewidth=3)
        hits = int((kind["duplicates"] > 0).sum())
        note(
            axes,
            f"{hits} of {len(kind)} bursts damaged",
            max(issued, kind["total"].mean()),
            place,
            right=9,
            va="center",
        )
    means = kinds[["unique", "tickets", "total"]].mean()
    places = range(len(means))
    for column, mark, colour, label in (
        ("tickets", "o", COLOURS["naive"], "tickets given out"),
        ("unique", "o", LINE_COLOURS[0], "different numbers among them"),
        ("total", "|", INK, "tickets there are"),
    ):
        size = 14 if mark == "|" else None
        axes.plot(means[column], places, mark, color=colour, markersize=size, label=label)
    axes.set_yticks(places)
    axes.set_yticklabels([f"{many} × {each} for {total}" for many, each, total in means.index])
    axes.set(ylim=(len(means) - 0.5, -0.6), xscale="log")
    axes.set_xlim(right=means["tickets"].max() * 12)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    damaged = sum(bool((kind["duplicates"] > 0).all()) for _, kind in kinds)
    say_finding(axes, f"{damaged} of {len(kinds)} kinds of burst: duplicates in every burst")
    axes.set(
        xlabel="tickets (mean per burst; logarithmic scale)",
        ylabel="purchases × tickets each, for a stock",
    )
    legend_below(figure)
    return figure


def before_and_after(bursts: pd.DataFrame) -> Figure:
    """Draw the tickets issued by each allocator in the same burst, against the stock.

    *bursts*: allocator, schema, total, unique, duplicates, one row per allocator and schema.
    """
    figure, [axes] = new_chart(1.4 + 0.3 * len(bursts))
    several = bursts["allocator"].duplicated(keep=False)
    labels = bursts["allocator"].where(~several, bursts["allocator"] + " on " + bursts["schema"])
    colours = [COLOURS[name] for name in bursts["allocator"]]
    axes.barh(labels, bursts["unique"], color=colours)
    axes.barh(
        labels, bursts["duplicates"], left=bursts["unique"], color=colours, alpha=0.45, hatch="//"
    )
    total = int(bursts["total"].iloc[0])
    axes.axvline(total, color=INK, linestyle="--", linewidth=1)
    for place, row in enumerate(bursts.itertuples()):
        words = f"{row.unique + row.duplicates} issued"
        if row.duplicates:
            words += f", {row.duplicates} of them copies"
        note(axes, words, row.unique + row.duplicates, place, right=4, va="center")
    axes.margins(x=0.9 if bursts["duplicates"].any() else 0.3)
    axes.invert_yaxis()
    say_finding(
        axes,
        f"{int((bursts['unique'] + bursts['duplicates'] > total).sum())} of {len(bursts)} oversell "
        f"(dashed: the {total} tickets there are)",
    )
    axes.set(xlabel="tickets issued (hatched: copies of a number)", ylabel="allocator")
    return figure


def who_sold_what(sales: pd.DataFrame, total: int) -> Figure:
    """Draw which process sold each ticket number, one strip per allocator.

    *sales*: allocator, process (from 1), number, one row per ticket in an answer.
    """
    allocators, most = list(dict.fromkeys(sales["allocator"])), int(sales["process"].max())
    figure, [axes] = new_chart(1.6 + 0.32 * len(allocators))
    height = 0.8 / most
    for process in range(1, most + 1):
        runs = _runs(sales[sales["process"] == process])
        axes.barh(
            runs["allocator"].map(allocators.index) - 0.4 + height * (process - 0.5),
            runs["last"] - runs["first"] + 0.9,
            left=runs["first"] - 0.45,
            height=height,
            color=LINE_COLOURS[(process - 1) % len(LINE_COLOURS)],
            label=f"sold by process {process}",
        )
    axes.set_yticks(range(len(allocators)), allocators)
    axes.invert_yaxis()
    by_number = sales.groupby(["allocator", "number"])["process"].nunique()
    twice = by_number[by_number > 1].groupby("allocator").size()
    each = ", ".join(f"{count} by {name}" for name, count in twice.items()) or "none"
    say_finding(axes, f"Numbers that more than one process sold: {each}")
    axes.set_xlim(0.4, max(total, int(sales["number"].max())) + 0.6)
    axes.axvline(total + 0.5, color=INK, linestyle="--", linewidth=1)
    axes.set(xlabel=f"ticket number (there are {total})", ylabel="allocator")
    legend_below(figure)
    return figure


def _runs(sales: pd.DataFrame) -> pd.DataFrame:
    """Return the first and the last of the numbers that follow each other, by allocator."""
    sold = sales[["allocator", "number"]].drop_duplicates().sort_values(["allocator", "number"])
    run = sold["number"] - sold.groupby("allocator").cumcount()
    runs = sold.groupby(["allocator", run.rename("run")])["number"]
    return runs.agg(first="min", last="max").reset_index()
