"""Charts of schedules: from a table to a labelled chart."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from ticketsvc.lab.outcome_looks import BAD, KINDS, shown

_STOCKS = {"none": "no stock", "one": "stock for one", "all": "stock for all"}
_THINNEST = 0.04  # of a bar: less is not seen


def matrix(table: pd.DataFrame) -> Figure:
    """Draw, per mechanism, number of buyers and stock, the share of schedules of each outcome.

    *table*: mechanism, schema, safe, buyers, stock, complete, schedules, clean, and kinds (the
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
    panels[0].set_ylabel("mechanism, schema, schedules that break it", fontsize="small")
    panels[0].set_yticks(range(len(mechanisms)))
    panels[0].set_yticklabels([_label(table, name, schema) for name, schema in mechanisms])
    panels[0].invert_yaxis()
    finding = textwrap.fill(_finding(table), int(10 * figure.get_figwidth()))
    figure.suptitle(finding, x=0.01, ha="left", fontsize="medium", fontweight="bold")
    seen = shown(kind for kinds in table["kinds"] for kind in kinds)
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
        for look in shown(KINDS):
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
    total = int(rows["schedules"].sum())
    least = "" if rows["complete"].all() else "≥ "
    return f"{mechanism} · {schema}\n{total - int(rows['clean'].sum()):,} of {least}{total:,}"


def _finding(table: pd.DataFrame) -> str:
    violating = table["schedules"] > table["clean"]
    wrong = [
        f"{name} ({_ways(cases)})"
        for name, cases in table[violating & ~table["safe"]].groupby("mechanism", sort=False)
    ]
    broken = list(dict.fromkeys(table.loc[violating & table["safe"], "mechanism"]))
    words = (
        f"Safe mechanisms that break the invariant: {', '.join(broken)}"
        if broken
        else "No safe mechanism has a schedule that breaks the invariant"
    )
    return words + (f"; others do: {', '.join(wrong)}" if wrong else "")


def _ways(cases: pd.DataFrame) -> str:
    """Return in which ways the schedules of *cases* break the invariant."""
    seen = {
        way for kinds in cases["kinds"] for kind in kinds if kind in BAD for way in kind.split(", ")
    }
    return ", ".join(look.kind for look in shown(seen))
