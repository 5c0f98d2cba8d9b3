"""Charts of throughput: a table in, a labelled chart out."""

import math

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import (
    COLOURS,
    INK,
    LINE_COLOURS,
    NEUTRAL,
    draw_pairs,
    label_ends,
    legend_below,
    logarithmic,
    new_chart,
    note,
    say_finding,
)

_PARTS = {
    "trips_ms": ("round trips", LINE_COLOURS[0]),
    "work_ms": ("work", NEUTRAL),
    "flush_ms": ("flush", LINE_COLOURS[1]),
}


def by_connections(rates: pd.DataFrame) -> Figure:
    """Draw purchases per second against connections, per allocator, below that of the no-op.

    *rates*: rows of `summary.summarise`, durable.
    """
    figure, [axes] = new_chart()
    for name, rows in rates.groupby("name", sort=False):
        noop = bool((rows["kind"] == "noop").all())
        axes.plot(
            rows["connections"],
            rows["goodput_per_s"],
            marker="o",
            color=NEUTRAL if noop else COLOURS[name],
            linestyle="--" if noop else "-",
        )
    most = rates["connections"].max()
    at_most = rates[rates["connections"] == most].set_index("name")["goodput_per_s"].dropna()
    logarithmic(axes, sorted(rates["connections"].unique()))
    noops = set(rates.loc[rates["kind"] == "noop", "name"])
    sellers = at_most.drop(index=[*noops]).sort_values()
    say_finding(
        axes,
        f"At {most} connections {sellers.index[-1]} sells {sellers.iloc[-1] / sellers.iloc[0]:.0f} "
        f"times what {sellers.index[0]} does",
    )
    axes.set(xlabel=f"connections ({_sample_size(rates)})", ylabel="purchases sold per second")
    label_ends(axes, at_most.items(), dict.fromkeys(noops, NEUTRAL))
    return figure


def simulated_and_measured(compared: pd.DataFrame) -> Figure:
    """Draw purchases per second, simulated and measured, for each size of batch.

    *compared*: batch, purchases, simulated_s, measured_s.
    """
    figure, [axes] = new_chart()
    for column, colour, shift in (
        ("simulated_s", NEUTRAL, -0.2),
        ("measured_s", COLOURS["group_commit"], 0.2),
    ):
        places = pd.Series(range(len(compared))) + shift
        rates = compared["purchases"] / compared[column]
        axes.bar(places, rates, width=0.4, color=colour, label=column.removesuffix("_s"))
    rates = compared["purchases"] / compared["measured_s"]
    first, last = compared["batch"].iloc[[0, -1]]
    gain = rates.iloc[-1] / rates.iloc[0]
    say_finding(axes, f"Batches of {last} sell {gain:.0f} times what batches of {first} do")
    axes.set_yscale("log")
    axes.set_xticks(range(len(compared)), compared["batch"].astype(str))
    axes.set_xlabel(
        f"purchases per commit ({compared['purchases'].iloc[0]} purchases of one event)"
    )
    axes.set_ylabel("purchases per second")
    legend_below(figure)
    return figure


def lock_hold(predictions: pd.DataFrame) -> Figure:
    """Draw the parts of the time under the lock, and the rate predicted beside the measured one.

    *predictions*: as `throughput.predict` returns them.
    """
    figure, [times, rates] = new_chart(3.0 + 0.7 * len(predictions), panels=2)
    names = [
        row.allocator
        if row.purchases_per_commit == 1
        else f"{row.allocator}\n({row.purchases_per_commit} per commit)"
        for row in predictions.itertuples()
    ]
    left = pd.Series(0.0, index=predictions.index)
    for column, (label, colour) in _PARTS.items():
        times.barh(names, predictions[column], left=left, color=colour, label=label)
        left += predictions[column]
    times.invert_yaxis()
    longest = predictions.assign(whole=left).set_index("allocator")["whole"]
    say_finding(times, f"A commit holds the row {longest.min():.1f} to {longest.max():.1f} ms")
    times.set(xlabel="under the lock, per commit (ms)", ylabel="allocator")
    times.legend(
        frameon=False, fontsize="small", ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2)
    )
    colours = [COLOURS[name] for name in predictions["allocator"]]
    measured, predicted = predictions["measured_per_s"], predictions["predicted_per_s"]
    draw_pairs(rates, list(predictions["allocator"]), measured, predicted, colours)
    rates.set_xscale("log")
    share = predictions["measured_per_s"] / predictions["predicted_per_s"]
    say_finding(rates, f"Sold {share.min():.1f} to {share.max():.1f} times what is predicted")
    rates.set(xlabel="purchases per second (hatched: predicted)", ylabel="allocator")
    return figure


def durability(pairs: pd.DataFrame, effects: "pd.Series[float]") -> Figure:
    """Draw the rates durable and not, with their range, and the purchases at risk.

    *pairs*: rows of `summary.summarise`. *effects*: as `throughput.effects_of_not_waiting` returns
    them.
    """
    names = list(dict.fromkeys(pairs["name"]))
    figure, [rates, risks] = new_chart(3.0 + 0.7 * len(names), panels=2)
    for axes, column in ((rates, "goodput_per_s"), (risks, "at_risk_purchases")):
        table = pairs.pivot(index="name", columns="durable", values=column).loc[names]
        colours = [COLOURS[name] for name in names]
        draw_pairs(axes, names, table[True], table[False], colours)
        axes.set(ylabel="allocator", xscale="log")
    for row in pairs.itertuples():
        place = names.index(row.name) + (-0.2 if row.durable else 0.2)
        rates.hlines(place, row.goodput_min, row.goodput_max, color=INK)
    for place, name in enumerate(names):
        most = pairs.loc[pairs["name"] == name, "goodput_max"].max()
        times = effects[name]
        effect = "not resolved" if math.isnan(times) else f"{times:.1f}×"
        note(rates, effect, most, place, right=5, va="center")
    rates.margins(x=0.25)
    say_finding(
        rates,
        f"Not waiting for the flush: difference resolved in {effects.count()} of {len(names)}",
    )
    runs = int(pairs["repetitions"].iloc[0])
    rates.set_xlabel(f"purchases sold per second (hatched: not durable; line: {runs} runs)")
    risk = pairs[~pairs["durable"].astype(bool)]["at_risk_purchases"]
    say_finding(risks, f"… and a crash would lose up to {risk.max():,.0f} purchases")
    risks.set_xlabel("purchases in the WAL, not on disk (hatched: not durable)")
    return figure


def _sample_size(rates: pd.DataFrame) -> str:
    least, most = rates["repetitions"].min(), rates["repetitions"].max()
    runs = f"{least} to {most} runs" if least < most else f"{least} run{'s' if least > 1 else ''}"
    return f"{runs} each, {rates['sold'].sum():,} purchases in all"
