"""Charts of schedules: a table in, a labelled figure out, as in `charts`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ticketsvc.lab.charts.outcomes import KINDS, look_of, shown
from ticketsvc.lab.charts.style import LINE_COLOURS, draw_intervals, say_finding

_STOCKS = {"none": "no stock", "one": "stock for one", "all": "stock for all"}


def matrix(table: pd.DataFrame) -> Figure:
    """Draw, per mechanism, number of buyers and stock, what share of the schedules ends how.

    *table*: mechanism, schema, safe, buyers, stock, complete, and counts of schedules, clean,
    turned_away, duplicate and oversold, as `gallery.explore_all` gives them. A schedule counts
    as the worst that is true of it. In each bar: the mark of what most end in, and how many
    schedules there are, "≥" where not all were accounted for.
    """
    mechanisms = list(dict.fromkeys(zip(table["mechanism"], table["schema"], strict=True)))
    columns = list(dict.fromkeys(zip(table["buyers"], table["stock"], strict=True)))
    figure = Figure(figsize=(1.2 + 1.55 * len(columns), 1.7 + 0.34 * len(mechanisms)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(columns), squeeze=False, sharex=True, sharey=True)[0]
    shares = _shares(table)
    for axes, (buyers, stock) in zip(panels, columns, strict=True):
        cases = table[(table["buyers"] == buyers) & (table["stock"] == stock)]
        _draw_bars(axes, cases, shares, mechanisms)
        axes.set_title(f"{buyers} buyers,\n{_STOCKS.get(stock, stock)}", fontsize="small")
        axes.set_xlabel("schedules (%)", fontsize="small")
    panels[0].set_ylabel("mechanism, and schema")
    panels[0].set_yticks(range(len(mechanisms)))
    panels[0].set_yticklabels([f"{name} · {schema}" for name, schema in mechanisms])
    panels[0].invert_yaxis()
    figure.suptitle(_finding(table), x=0.01, ha="left", fontsize="medium", fontweight="bold")
    figure.supxlabel(
        "in each bar: the mark of what most end in, and how many schedules there are",
        fontsize="small",
    )
    seen = shown(kind for kind in KINDS if shares[kind].any())
    figure.legend(
        handles=[Patch(facecolor=look.colour, label=f"{look.mark} {look.kind}") for look in seen],
        loc="outside lower center",
        ncols=len(seen),
        frameon=False,
    )
    return figure


def bad_fraction_against_measured(bad: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Draw the fraction of schedules that do damage beside how often bursts did, per pool size.

    *bad*: buyers, schedules, fraction, as `gallery.bad_fractions` gives them. *measured*: as
    `damage.by_purchases` gives it; bars are 95 % intervals (Wilson).
    """
    figure = Figure(figsize=(8.0, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    look = look_of("duplicate")
    bars = axes.bar(
        bad["buyers"],
        bad["fraction"],
        width=0.7,
        color=look.colour,
        alpha=0.55,
        label="schedules: the fraction that does damage",
    )
    counts = [f"{number:,} schedules" for number in bad["schedules"]]
    axes.bar_label(bars, labels=counts, padding=2, fontsize="small")
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
    heard = f"{_range(at_most)} of bursts did it" if len(at_most) else "bursts were not measured"
    say_finding(axes, f"{most} purchases: {_percent(fraction)} of schedules do damage; {heard}")
    axes.set_xlabel("purchases at a time")
    axes.set_ylabel("fraction of schedules;\nprobability of damage per burst")
    axes.set_ylim(0, 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize="small")
    return figure


def _shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of each kind of outcome; with the clean ones' they add up to one."""
    bad = table["schedules"] - table["clean"]
    turned_away = table[["turned_away", "clean"]].min(axis=1)
    duplicate = pd.concat([table["duplicate"], bad - table["oversold"]], axis=1).min(axis=1)
    counts = pd.DataFrame(
        {
            "clean": table["clean"] - turned_away,
            "turned away": turned_away,
            "other violation": bad - table["oversold"] - duplicate,
            "duplicate": duplicate,
            "oversold": table["oversold"],
        }
    )
    return counts.div(table["schedules"].clip(lower=1), axis=0)


def _draw_bars(
    axes: Axes, cases: pd.DataFrame, shares: pd.DataFrame, mechanisms: list[tuple[str, str]]
) -> None:
    for index, case in cases.iterrows():
        place, left, widest = mechanisms.index((case["mechanism"], case["schema"])), 0.0, 0.0
        for look in shown(KINDS):
            share = float(shares.loc[index, look.kind])
            axes.barh(place, share, left=left, height=0.8, color=look.colour)
            if share > widest:
                widest, middle, most = share, left + share / 2, look
            left += share
        if widest:
            words = f"{most.mark} {'' if case['complete'] else '≥ '}{case['schedules']:,}"
            axes.text(
                middle, place, words, color=most.ink, ha="center", va="center", fontsize="small"
            )
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=None))
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(labelsize="small")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _finding(table: pd.DataFrame) -> str:
    words = []
    for safe, who in ((True, "right mechanisms"), (False, "the others")):
        rows = table[table["safe"] == safe]
        if len(rows):
            total = int(rows["schedules"].sum())
            broken = total - int(rows["clean"].sum())
            words.append(f"{who}, {broken:,} of {total:,}")
    return f"Schedules that break the invariant: {'; '.join(words)}"


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
