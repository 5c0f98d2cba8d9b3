"""What each constraint costs, as charts: a table in, a labelled chart out."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import (
    LINE_COLOURS,
    NEUTRAL,
    draw_pairs,
    legend_below,
    new_chart,
    say_finding,
)


def price_of_nets(nets: pd.DataFrame) -> Figure:
    """Draw the WAL bytes per purchase under each safety net.

    *nets*: as `safety_nets.compare_safety_nets` returns them.
    """
    figure, [axes] = new_chart()
    written = _by_net(nets, "wal_bytes")
    _draw_bars(axes, written, "%.0f")
    chain, trigger = (written.loc[name].iloc[-1] for name in ("chain", "sequence_trigger"))
    say_finding(
        axes, f"In batches the sequence trigger writes {trigger / chain:.0%} of what the chain does"
    )
    axes.set_xlabel("WAL per purchase (bytes)")
    legend_below(figure)
    return figure


def price_of_nets_in_time(nets: pd.DataFrame) -> Figure:
    """Draw the time per purchase under each safety net, as a multiple of that under none."""
    figure, [axes] = new_chart()
    spent = _by_net(nets, "microseconds")
    times = spent / spent.loc["none"]
    _draw_bars(axes, times, "%.2f")
    axes.axvline(1, color=NEUTRAL, linestyle="--", linewidth=1)
    batched = times.iloc[:, -1]
    say_finding(
        axes,
        f"In batches the most expensive net is {batched.idxmax().replace('_', ' ')}: "
        f"{batched.max():.1f} times the time of none",
    )
    axes.set_xlabel("time per purchase, flush excluded (no net = 1)")
    legend_below(figure)
    return figure


def _by_net(nets: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a row per net, in the order of *nets*, and a column per size of batch."""
    return nets.pivot(index="net", columns="batch", values=column).loc[list(nets["net"].unique())]


def _draw_bars(axes: Axes, table: pd.DataFrame, form: str) -> None:
    """Draw each row of *table* as a bar per column, its value beside it."""
    names = [name.replace("_", " ") for name in table.index]
    single, several = (table[batch] for batch in table.columns)
    for bars, batch in zip(
        draw_pairs(axes, names, single, several, LINE_COLOURS[0]), table.columns, strict=True
    ):
        bars.set_label(f"{batch} purchase{'s' if batch > 1 else ''} per statement")
        axes.bar_label(bars, fmt=form, padding=3, fontsize="small")
    axes.set_ylabel("safety net")
