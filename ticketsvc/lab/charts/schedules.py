"""Charts of schedules: from a table to a labelled chart."""

import textwrap
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from ticketsvc.lab.outcome_looks import LOOKS, in_order

_STOCKS = {"none": "no stock", "one": "stock for one", "all": "stock for all"}
_THINNEST = 0.04  # of a bar: less is not seen


def matrix(table: pd.DataFrame) -> Figure:
    """Draw, per allocator, number of buyers and stock, the share of schedules of each outcome.

    *table*: mechanism, schema, safe, buyers, stock, complete, schedules, classes, and kinds (the
    schedules of each outcome), as `mechanism_matrix.explore_matrix` returns them. A schedule
    counts as the worst that is true of it. Each bar shows its most frequent outcome and how many
    schedules have it, "≥" where not all were covered. A small share is drawn wider, to be seen.
    """
    mechanisms = list(dict.fromkeys(zip(table["mechanism"], table["schema"], strict=True)))
    columns = list(dict.fromkeys(zip(table["buyers"], table["stock"], strict=True)))
    figure = Figure(figsize=(2.3 + 1.0 * len(columns), 2.0 + 0.4 * len(mechanisms)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(columns), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (buyers, stock) in zip(panels, columns, strict=True):
        cases = table[(table["buyers"] == buyers) & (table["stock"] == stock)]
        _draw_bars(axes, cases, mechanisms)
        axes.set_title(f"{buyers} buyers,\n{_STOCKS.get(stock, stock)}", fontsize="small")
        axes.set_xlabel("schedules (%)", fontsize="small")
    panels[0].set_ylabel("allocator, schema, schedules that are not ✓", fontsize="small")
    panels[0].set_yticks(range(len(mechanisms)))
    panels[0].set_yticklabels([_label(table, name, schema) for name, schema in mechanisms])
    panels[0].invert_yaxis()
    finding = textwrap.fill(_finding(table), int(10 * figure.get_figwidth()))
    figure.suptitle(finding, x=0.01, ha="left", fontsize="medium", fontweight="bold")
    seen = in_order(LOOKS[kind] for kinds in table["kinds"] for kind in kinds)
    figure.legend(
        title="the number in a bar: the schedules with its most frequent outcome; "
        f"a share below {_THINNEST:.0%} is drawn as {_THINNEST:.0%}",
        handles=[Patch(facecolor=look.colour, label=f"{look.mark} {look.kind}") for look in seen],
        loc="outside lower center",
        ncols=len(seen),
        frameon=False,
    )
    return figure


def _draw_bars(axes: Axes, cases: pd.DataFrame, mechanisms: list[tuple[str, str]]) -> None:
    for case in cases.itertuples():
        place, left, most = mechanisms.index((case.mechanism, case.schema)), 0.0, 0
        widths = {kind: max(_THINNEST, n / case.schedules) for kind, n in case.kinds.items() if n}
        for look in LOOKS.values():
            count = case.kinds.get(look.kind, 0)
            share = widths.get(look.kind, 0) / sum(widths.values())
            axes.barh(place, share, left=left, height=0.8, color=look.colour)
            if count > most:
                most, middle, words_of = count, left + share / 2, look
            left += share
        if most:
            words = f"{words_of.mark} {'' if case.complete else '≥ '}{most:,}"
            axes.text(
                middle, place, words, color=words_of.ink, ha="center", va="center", fontsize="small"
            )
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    axes.set_xticks([0, 1])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.tick_params(labelsize="small")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _label(table: pd.DataFrame, mechanism: str, schema: str) -> str:
    rows = table[(table["mechanism"] == mechanism) & (table["schema"] == schema)]
    total, executed = int(rows["schedules"].sum()), int(rows["classes"].sum())
    bad = total - sum(kinds.get("clean", 0) for kinds in rows["kinds"])
    least = "" if rows["complete"].all() else "≥ "
    return f"{mechanism} · {schema}\n{bad:,} of {least}{total:,} ({executed:,} executed)"


def _finding(table: pd.DataFrame) -> str:
    ways = table.groupby("mechanism", sort=False)["kinds"].agg(_ways)
    safe = ways.index.isin(table.loc[table["safe"], "mechanism"])
    broken, wrong = (
        ", ".join(f"{name} ({way})" for name, way in chosen.items() if way)
        for chosen in (ways[safe], ways[~safe])
    )
    words = (
        f"Safe allocators with schedules that are not clean: {broken}"
        if broken
        else "Every schedule of each safe allocator is clean"
    )
    return words + (f"; of the others some are not: {wrong}" if wrong else "")


def _ways(cases: Iterable[Mapping[str, int]]) -> str:
    """Return in which ways the schedules of *cases* are not clean; "" when all are."""
    seen = {way for kinds in cases for kind in kinds for way in kind.split(", ")} - {"clean"}
    return ", ".join(kind for kind in LOOKS if kind in seen)
