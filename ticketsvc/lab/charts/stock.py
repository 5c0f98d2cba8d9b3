"""The stock of each event, as a chart."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import LINE_COLOURS, legend_below, new_chart, say_finding


def stock(pools: pd.DataFrame) -> Figure:
    """Draw what is sold and what is left of each event.

    *pools*: event, total, available, issued.
    """
    figure, [axes] = new_chart()
    sold = pools["total"] - pools["available"]
    axes.barh(pools["event"], sold, color=LINE_COLOURS[0], label="sold")
    axes.barh(
        pools["event"],
        pools["available"],
        left=sold,
        color=LINE_COLOURS[0],
        alpha=0.25,
        label="available",
    )
    axes.invert_yaxis()
    say_finding(
        axes,
        f"{len(pools)} events, {int(sold.sum()):,} of {int(pools['total'].sum()):,} tickets sold",
    )
    axes.set(xlabel="tickets", ylabel="event")
    legend_below(figure)
    return figure
