"""Charts of schedules: from a table to a labelled figure."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ticketsvc.lab.charts.style import (
    LINE_COLOURS,
    draw_intervals,
    legend_below,
    new_figure,
    say_finding,
)
from ticketsvc.lab.outcome_looks import KINDS, look_of, shown

_STOCKS = {"none": "no stock", "one": "stock for one", "all": "stock for all"}


def matrix(table: pd.DataFrame) -> Figure:
    """Draw, per mechanism, number of buyers and stock, the share of schedules of each outcome.

    *table*: mechanism, schema, safe, buyers, stock, complete, schedules, clean, and kinds (the
    schedules of each outcome), as `mechanism_matrix.explore_matrix` returns them. A schedule
    counts as the worst that is true of it. Each bar shows its most frequent outcome and how many
    schedules have it, "≥" where not all were covered.
    """
    mechanisms = list(dict.fromkeys(zip(table["mechanism"], table["schema"], strict=True)))
    columns = list(dict.fromkeys(zip(table["buyers"], table["stock"], strict=True)))
    figure = Figure(figsize=(2.2 + 1.55 * len(columns), 2.0 + 0.42 * len(mechanisms)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(columns), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (buyers, stock) in zip(panels, columns, strict=True):
        cases = table[(table["buyers"] == buyers) & (table["stock"] == stock)]
        _draw_bars(axes, cases, mechanisms)
        axes.set_title(f"{buyers} buyers,\n{_STOCKS.get(stock, stock)}", fontsize="small")
        axes.set_xlabel("schedules (%)", fontsize="small")
    panels[0].set_ylabel("mechanism, schema, schedules that break it")
    panels[0].set_yticks(range(len(mechanisms)))
    panels[0].set_yticklabels([_label(table, name, schema) for name, schema in mechanisms])
    panels[0].invert_yaxis()
    finding = textwrap.fill(_finding(table), int(10 * figure.get_figwidth()))
    figure.suptitle(finding, x=0.01, ha="left", fontsize="medium", fontweight="bold")
    seen = shown(kind for kinds in table["kinds"] for kind in kinds)
    figure.legend(
        title="the number in a bar: the schedules with its most frequent outcome",
        handles=[Patch(facecolor=look.colour, label=f"{look.mark} {look.kind}") for look in seen],
        loc="outside lower center",
        ncols=len(seen),
        frameon=False,
    )
    return figure


def bad_fraction_against_measured(bad: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Draw the fraction of schedules that break the invariant beside that of measured bursts.

    *bad*: buyers, schedules, fraction, as `mechanism_matrix.bad_fractions` returns them.
    *measured*: as `damage.by_purchases` returns it; its bars are 95 % intervals (Wilson).
    """
    figure, [axes] = new_figure(4.0)
    look = look_of("duplicate")
    axes.bar(
        bad["buyers"],
        bad["fraction"],
        width=0.7,
        color=look.colour,
        alpha=0.55,
        label="schedules: the fraction that breaks the invariant",
    )
    for buyers, number in zip(bad["buyers"], bad["schedules"], strict=True):
        axes.text(buyers, 0.03, f"{number:,} schedules", ha="center", fontsize="small")
    sizes = measured.groupby("pool_size")
    step = 0.5 / max(1, len(sizes))
    for place, (size, rows) in enumerate(sizes):
        shift = step * (place - (len(sizes) - 1) / 2)
        draw_intervals(
            axes,
            rows["purchases"] + shift,
            rows,
            LINE_COLOURS[place % len(LINE_COLOURS)],
            f"measured, pool of {size}: {int(rows['repetitions'].iloc[0])} bursts each",
        )
    for line in axes.lines:
        line.set_linestyle("none")  # between two and three buyers there is nothing
    most = bad["buyers"].max()
    fraction = bad.loc[bad["buyers"] == most, "fraction"].iloc[0]
    at_most = measured.loc[measured["purchases"] == most, "probability"]
    seen = f"{_range(at_most)} of bursts" if len(at_most) else "bursts were not measured"
    say_finding(axes, f"{most} purchases: {_percent(fraction)} of schedules do damage, {seen}")
    axes.set_xlabel("purchases at a time")
    axes.set(ylabel="fraction of schedules;\nprobability of damage per burst", ylim=(0, 1.12))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, 1)
    return figure


def _draw_bars(axes: Axes, cases: pd.DataFrame, mechanisms: list[tuple[str, str]]) -> None:
    for case in cases.itertuples():
        place, left, most = mechanisms.index((case.mechanism, case.schema)), 0.0, 0
        for look in shown(KINDS):
            count = case.kinds.get(look.kind, 0)
            share = count / max(1, case.schedules)
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
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(labelsize="small")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _label(table: pd.DataFrame, mechanism: str, schema: str) -> str:
    rows = table[(table["mechanism"] == mechanism) & (table["schema"] == schema)]
    total = int(rows["schedules"].sum())
    least = "" if rows["complete"].all() else "≥ "
    return f"{mechanism} · {schema}\n{total - int(rows['clean'].sum()):,} of {least}{total:,}"


def _finding(table: pd.DataFrame) -> str:
    violating = table["schedules"] > table["clean"]
    wrong = list(dict.fromkeys(table.loc[violating & ~table["safe"], "mechanism"]))
    broken = list(dict.fromkeys(table.loc[violating & table["safe"], "mechanism"]))
    words = (
        f"Safe mechanisms that break the invariant: {', '.join(broken)}"
        if broken
        else "No safe mechanism has a schedule that breaks the invariant"
    )
    return words + (f"; others do: {', '.join(wrong)}" if wrong else "")


def _range(shares: "pd.Series[float]") -> str:
    return " to ".join(dict.fromkeys(map(_percent, (shares.min(), shares.max()))))


def _percent(share: float) -> str:
    """Write a share so that only none is 0 % and only all is 100 %."""
    rounded = f"{share:.0%}"
    if (rounded == "0%" and share > 0) or (rounded == "100%" and share < 1):
        return (
            f"{share:.1%}" if 0.0005 <= share < 0.9995 else ("<0.1%" if share < 0.5 else ">99.9%")
        )
    return rounded
