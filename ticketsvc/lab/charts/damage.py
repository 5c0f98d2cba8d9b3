"""The probability of damage, as charts."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ticketsvc.lab.charts.style import LINE_COLOURS, legend_below, new_chart, say_finding


def damage_by_purchases(probabilities: pd.DataFrame, window_ms: float) -> Figure:
    """Draw the probability of damage against the purchases in the window, by connections.

    *probabilities*: as `damage.by_purchases` gives them. Bars are 95 % intervals (Wilson).
    """
    figure, [axes] = new_chart()
    for place, (size, rows) in enumerate(probabilities.groupby("pool_size")):
        many = int(rows["repetitions"].iloc[0])
        axes.errorbar(
            rows["purchases"] + 0.06 * (place - 1),
            rows["probability"],
            yerr=[rows["probability"] - rows["low"], rows["high"] - rows["probability"]],
            color=LINE_COLOURS[place % len(LINE_COLOURS)],
            marker="o",
            capsize=3,
            label=f"{size} connection{'s' if size > 1 else ''}: {many} bursts per point",
        )
    alone = probabilities[probabilities["purchases"] == 1]["damaged"].sum()
    most = int(probabilities["purchases"].max())
    at_most = probabilities[probabilities["purchases"] == most]["probability"].min()
    share = (
        "every burst is damaged"
        if at_most == 1
        else f"{at_most:.0%} of bursts are damaged, or more"
    )
    say_finding(
        axes,
        f"1 purchase: {alone} bursts damaged. {most}, with any number of connections: {share}",
    )
    axes.set_xlabel(f"purchases that arrive at random within {window_ms:.0f} ms")
    axes.set(ylabel="probability of damage", ylim=(-0.03, 1.05))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure)
    return figure
