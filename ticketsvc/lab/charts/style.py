"""What all charts share: the colours, a figure with its panels, a title, intervals.

An allocator has the same colour in every chart (Okabe and Ito's palette, told apart by the
colour-blind).
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {
    "naive": "#D55E00",
    "naive_bulk": "#8F3F00",
    "transaction": "#E69F00",
    "repeatable_read": "#CC79A7",
    "unique_only": "#F0E442",
    "row_lock": "#56B4E9",
    "advisory_lock": "#8C6BB1",
    "repeatable_read_retry": "#882255",
    "serializable": "#777777",
    "ticket_rows": "#0072B2",
    "range": "#009E73",
    "group_commit": "#332288",
}
LINE_COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#009E73")
REFERENCE = "#444444"


def new_figure(
    width: float = 8.0, height: float = 3.8, panels: int = 1, *, stacked: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, side by side or, *stacked*, one below the other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    rows, columns = (panels, 1) if stacked else (1, panels)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def say_finding(axes: Axes, finding: str) -> None:
    """Let the title of *axes* state what is to be seen."""
    axes.set_title(finding, loc="left", fontsize="medium", fontweight="bold")


def draw_intervals(
    axes: Axes, places: "pd.Series[float]", rows: pd.DataFrame, colour: str, label: str
) -> None:
    """Draw the probability of each of *rows* at its place, with its interval."""
    below = (rows["probability"] - rows["low"]).clip(lower=0)
    above = (rows["high"] - rows["probability"]).clip(lower=0)
    axes.errorbar(
        places,
        rows["probability"],
        yerr=[below, above],
        color=colour,
        marker="o",
        capsize=3,
        label=label,
    )
