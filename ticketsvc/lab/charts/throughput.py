"""Charts of throughput: a table in, a labelled figure out, as in `charts`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ticketsvc.lab.charts.style import COLOURS, new_figure, say_finding

_CEILING = "#999999"
_PARTS = {
    "trips_ms": ("round trips", "#56B4E9"),
    "work_ms": ("work", "#999999"),
    "flush_ms": ("flush", "#E69F00"),
}


def by_connections(rates: pd.DataFrame) -> Figure:
    """Draw purchases per second against connections, per allocator, under the no-op's ceiling.

    *rates*: name, kind, connections, goodput_per_s, repetitions, seconds as `bench` has them.
    """
    figure, [axes] = new_figure()
    for name, rows in rates.groupby("name", sort=False):
        ceiling = bool((rows["kind"] == "ceiling").all())
        axes.plot(
            rows["connections"],
            rows["goodput_per_s"],
            marker="o",
            color=_CEILING if ceiling else COLOURS[name],
            linestyle="--" if ceiling else "-",
            label=f"{name}, the ceiling: no database" if ceiling else name,
        )
    most = rates["connections"].max()
    at_most = rates[rates["connections"] == most].set_index("name")["goodput_per_s"]
    _logarithmic(axes, sorted(rates["connections"].unique()))
    sellers = at_most[[name for name in at_most.index if name in COLOURS]].sort_values()
    say_finding(
        axes,
        f"At {most} connections {sellers.index[-1]} sells {sellers.iloc[-1] / sellers.iloc[0]:.0f} "
        f"times what {sellers.index[0]} does",
    )
    axes.set_xlabel(f"connections ({_runs(rates)})")
    axes.set_ylabel("purchases sold per second")
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def lock_hold(predictions: pd.DataFrame) -> Figure:
    """Draw what the time under the lock is made of, and what follows from it beside what was sold.

    *predictions*: as `throughput.predict` gives them.
    """
    figure, [times, rates] = new_figure(width=10, panels=2)
    names = [
        f"{row.allocator}\n({row.purchases_per_commit} per commit)"
        for row in predictions.itertuples()
    ]
    left = pd.Series(0.0, index=predictions.index)
    for column, (label, colour) in _PARTS.items():
        times.barh(names, predictions[column], left=left, color=colour, label=label)
        left += predictions[column]
    times.invert_yaxis()
    longest = predictions.assign(whole=left).set_index("allocator")["whole"]
    say_finding(times, f"A commit holds the row {longest.min():.1f} to {longest.max():.1f} ms")
    times.set_xlabel("under the lock, per commit (ms)")
    times.set_ylabel("allocator")
    times.legend(frameon=False, fontsize="small")
    places = range(len(predictions))
    colours = [COLOURS[name] for name in predictions["allocator"]]
    rates.barh(
        [place - 0.2 for place in places],
        predictions["predicted_per_s"],
        height=0.36,
        color=colours,
        alpha=0.45,
        hatch="//",
        label="predicted",
    )
    rates.barh(
        [place + 0.2 for place in places],
        predictions["measured_per_s"],
        height=0.36,
        color=colours,
        label="measured",
    )
    rates.set_yticks(list(places))
    rates.set_yticklabels(predictions["allocator"])
    rates.invert_yaxis()
    rates.set_xscale("log")
    share = predictions["measured_per_s"] / predictions["predicted_per_s"]
    say_finding(rates, f"Sold {share.min():.1f} to {share.max():.1f} times what is predicted")
    rates.set_xlabel("purchases per second (hatched: predicted)")
    rates.set_ylabel("allocator")
    return figure


def batch_sizes(batches: pd.DataFrame, connections: int) -> Figure:
    """Draw how many commits carried how many purchases.

    *batches*: allocator, purchases, commits.
    """
    figure, [axes] = new_figure()
    means = {}
    for name, rows in batches.groupby("allocator", sort=False):
        purchases = rows["purchases"] * rows["commits"]
        means[name] = purchases.sum() / rows["commits"].sum()
        axes.bar(
            rows["purchases"],
            100 * purchases / purchases.sum(),
            width=0.9,
            color=COLOURS[str(name)],
            label=f"{name}: {int(rows['commits'].sum()):,} commits",
        )
    axes.axvline(connections, color=_CEILING, linestyle="--", linewidth=1)
    words = ", ".join(f"{name} {mean:.1f}" for name, mean in means.items())
    say_finding(axes, f"Purchases per commit on average: {words} (dashed: all buyers)")
    axes.set_xlabel("purchases in one commit")
    axes.set_ylabel("share of purchases (%)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="upper center")
    return figure


def durability(pairs: pd.DataFrame) -> Figure:
    """Draw what waiting for the flush costs, and what not waiting leaves at risk.

    *pairs*: name, durable, goodput_per_s, at_risk_purchases.
    """
    figure, [rates, risks] = new_figure(width=10, panels=2)
    names = list(dict.fromkeys(pairs["name"]))
    for axes, column in ((rates, "goodput_per_s"), (risks, "at_risk_purchases")):
        table = pairs.pivot(index="name", columns="durable", values=column).loc[names]
        for durable, shift in ((True, -0.2), (False, 0.2)):
            axes.bar(
                [place + shift for place in range(len(names))],
                table[durable],
                width=0.36,
                color=[COLOURS[name] for name in names],
                alpha=1.0 if durable else 0.5,
                hatch="" if durable else "//",
            )
        axes.set_xticks(range(len(names)))
        axes.set_xticklabels(names)
        axes.set_yscale("log")
        axes.set_xlabel("allocator (hatched: not durable)")
    speed = pairs.pivot(index="name", columns="durable", values="goodput_per_s").loc[names]
    times = speed[False] / speed[True]
    say_finding(rates, f"Not waiting for the flush: {times.min():.1f} to {times.max():.1f} times")
    rates.set_ylabel("purchases sold per second")
    risk = pairs[~pairs["durable"].astype(bool)]["at_risk_purchases"]
    say_finding(risks, f"… and up to {risk.max():,.0f} purchases a crash would lose")
    risks.set_ylabel("purchases in the WAL, not on disk (worst moment)")
    return figure


def price_of_nets_in_time(nets: pd.DataFrame) -> Figure:
    """Draw the time per purchase under each safety net, in times that of none.

    *nets*: as `safety_nets.measure` gives them.
    """
    figure, [axes] = new_figure()
    table = nets.pivot(index="net", columns="batch", values="microseconds")
    table = table.loc[list(nets["net"].unique())]
    times = table / table.loc["none"]
    batches = list(times.columns)
    for place, (batch, colour) in enumerate(zip(batches, ("#0072B2", "#56B4E9"), strict=False)):
        bars = axes.barh(
            [row + 0.36 * place for row in range(len(times))],
            times[batch],
            height=0.34,
            color=colour,
            label=f"{batch} purchase{'s' if batch > 1 else ''} per statement",
        )
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    axes.axvline(1, color=_CEILING, linestyle="--", linewidth=1)
    axes.set_yticks([row + 0.18 * (len(batches) - 1) for row in range(len(times))])
    axes.set_yticklabels([name.replace("_", " ") for name in times.index])
    axes.invert_yaxis()
    dearest = times[batches[-1]].idxmax()
    say_finding(
        axes,
        f"In batches the dearest net is {dearest.replace('_', ' ')}: "
        f"{times[batches[-1]].max():.1f} times the time of none",
    )
    axes.set_xlabel("time per purchase, flush excluded (times that of no net)")
    axes.set_ylabel("safety net")
    axes.legend(frameon=False, loc="lower right")
    return figure


def _logarithmic(axes: Axes, places: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(places)
    axes.xaxis.set_major_formatter(ScalarFormatter())


def _runs(rates: pd.DataFrame) -> str:
    many = int(rates["repetitions"].iloc[0])
    sold = int(rates["sold"].sum())
    return f"{many} run{'s' if many > 1 else ''} each, {sold:,} purchases in all"
