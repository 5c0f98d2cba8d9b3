"""The probability of damage, as charts."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ticketsvc.lab.charts.style import (
    COLOURS,
    INK,
    LINE_COLOURS,
    draw_intervals,
    legend_below,
    new_figure,
    note,
    say_finding,
)


def damage_by_purchases(probabilities: pd.DataFrame, window_ms: float) -> Figure:
    """Draw the probability of damage against the purchases in the window, per pool size.

    *probabilities*: as `damage.by_purchases` gives them. Bars are 95 % intervals (Wilson).
    """
    figure, [axes] = new_figure()
    sizes = probabilities.groupby("pool_size")
    for colour, shift, (size, rows) in zip(
        LINE_COLOURS, (-0.06, 0.0, 0.06, 0.12), sizes, strict=False
    ):
        draw_intervals(
            axes, rows["purchases"] + shift, rows, colour, f"pool of {size}: {_many(rows)} bursts"
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
        axes, f"Alone: {alone} bursts damaged. {most} purchases, whatever the pool: {share}"
    )
    axes.set_xlabel(f"purchases that arrive within {window_ms:.0f} ms")
    axes.set(ylabel="probability of damage", ylim=(-0.03, 1.05))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure)
    return figure


def damage_by_gap(probabilities: pd.DataFrame, purchase_ms: float) -> Figure:
    """Draw the probability that two purchases do damage against the time between them.

    *probabilities*: as `damage.by_gap` gives them; *purchase_ms*: how long one purchase takes.
    """
    figure, [axes] = new_figure()
    draw_intervals(
        axes,
        probabilities["gap_ms"],
        probabilities,
        COLOURS["naive"],
        f"two purchases, {_many(probabilities)} times each",
    )
    axes.axvline(purchase_ms, color=INK, linestyle="--", linewidth=1)
    note(axes, f"one purchase takes {purchase_ms:.1f} ms", purchase_ms, 1.02, right=4)
    near = probabilities["gap_ms"] < purchase_ms
    close, far = probabilities[near]["probability"], probabilities[~near]["probability"]
    place = "Further apart" if close.empty else "Closer together"
    first = far if close.empty else close
    finding = f"{place} than one purchase takes, {first.mean():.0%} of pairs do damage"
    if not close.empty and not far.empty:
        finding += f"; as far apart or further, {far.mean():.0%}"
    say_finding(axes, finding)
    axes.set(xlabel="second purchase sent after the first (ms)", ylabel="probability of damage")
    axes.set_ylim(-0.03, 1.12)
    legend_below(figure)
    return figure


def _many(rows: pd.DataFrame) -> str:
    return str(int(rows["repetitions"].iloc[0]))
