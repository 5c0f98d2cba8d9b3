"""The statements of a burst over time, as a chart."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import (
    CHANGES,
    INK,
    NEUTRAL,
    READS,
    legend_below,
    new_chart,
    note,
    say_finding,
)

_STEPS = {
    "read_pool": (READS, "reads the stock"),
    "insert_ticket": (NEUTRAL, "inserts a ticket"),
    "decrement": (CHANGES, "subtracts"),
}


def timeline(steps: pd.DataFrame) -> Figure:
    """Draw each purchase's statements over time, with the stale reads marked.

    *steps*: as `experiments.timeline.read_steps` returns them.
    """
    purchases = int(steps["purchase"].max())
    figure, [axes] = new_chart(height=1.6 + 0.17 * purchases)
    widths = (steps["ended_ms"] - steps["began_ms"]).clip(lower=0.15)
    for name, (colour, label) in _STEPS.items():
        chosen = steps["step"] == name
        axes.barh(
            steps["purchase"][chosen],
            widths[chosen],
            left=steps["began_ms"][chosen],
            height=0.75,
            color=colour,
            label=label,
        )
    subtractions = steps[steps["step"] == "decrement"]
    reads = steps[steps["step"] == "read_pool"]
    stale = set(subtractions["purchase"][subtractions["stale_by"] > 0])
    marked = reads[reads["purchase"].isin(stale)]
    axes.plot(
        marked["ended_ms"],
        marked["purchase"],
        "x",
        color=INK,
        markersize=4,
        label="stale when acted on",
    )
    first = subtractions["ended_ms"].min()
    axes.axvline(first, color=INK, linestyle="--", linewidth=1)
    note(axes, "first subtraction ends", first, 0, right=-3, up=2, ha="right")
    early = int((reads["ended_ms"] <= first).sum())
    say_finding(
        axes,
        f"{early} of {purchases} purchases had read the stock before the first subtracted: "
        f"{len(stale)} stale reads",
    )
    axes.set_ylim(purchases + 0.8, -0.8)
    axes.set_xlim(left=-0.02 * steps["ended_ms"].max())
    axes.set(
        xlabel="time since the reads were released (ms)", ylabel="purchase, in order of its read"
    )
    axes.set_yticks([1, *range(5, purchases + 1, 5)])
    legend_below(figure)
    return figure
