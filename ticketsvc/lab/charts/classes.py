"""What a class of schedules is, and what a held commit is, in one picture."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ticketsvc.lab.charts.style import BUYERS, new_chart, say_finding

_EXECUTED = "►"
_GAP = 1.0  # between two classes, in steps
_HELD = (
    (
        "a statement and its commit, one step:",
        [(0, " subtracts, commits", 7.5), (1, " reads", 3.5)],
    ),
    ("held commit, two steps:", [(0, " subtracts", 4.5), (1, " reads", 3.5), (0, " commits", 4)]),
)


def classes_and_held_commits(schedules: pd.DataFrame) -> Figure:
    """Draw each schedule as a row of steps, a column per class; below, a held commit.

    *schedules*: of two buyers, as `reduction_check.in_classes` returns them. A mark stands
    before those that were executed.
    """
    figure, [axes] = new_chart(4.8)
    columns = [rows for _, rows in schedules.groupby("class")]
    wide = max(map(len, schedules["steps"])) + _GAP
    for place, rows in enumerate(columns):
        _draw_class(axes, place * wide, rows)
    names = dict.fromkeys(name for steps in schedules["steps"] for _, name in steps)
    legend = "\n".join(f"{name[0]}: {name.replace('_', ' ')}" for name in names)
    axes.text(0, 1.6, legend, va="top", fontsize="small", linespacing=1.6)
    bottom = max(map(len, columns)) + 0.6
    for down, (name, boxes) in enumerate(_HELD):
        axes.text(0, bottom + down + 0.45, name, va="center", fontsize="small")
        _draw_steps(axes, 2 * wide, bottom + down, boxes)
    axes.set(xlim=(-0.7, len(columns) * wide - _GAP + 0.2), ylim=(bottom + len(_HELD), -1.2))
    axes.set_axis_off()
    say_finding(
        axes,
        f"{len(schedules)} schedules in {len(columns)} classes: "
        f"the {schedules['executed'].sum()} marked {_EXECUTED} are executed and represent all",
    )
    return figure


def _draw_class(axes: Axes, left: float, rows: pd.DataFrame) -> None:
    many = "1 schedule" if len(rows) == 1 else f"{len(rows)} schedules"
    ends = {True: "clean", False: "damage"}
    words = " or ".join(ends[clean] for clean in rows["clean"].unique())
    axes.text(left, -0.25, f"{many}:\n{words}", fontsize="small")
    ordered = rows.sort_values("executed", ascending=False, kind="stable")
    for down, row in enumerate(ordered.itertuples()):
        _draw_steps(axes, left, down, [(who, name[0], 1) for who, name in row.steps])
        if row.executed:
            axes.text(left - 0.1, down + 0.43, _EXECUTED, ha="right", va="center")


def _draw_steps(
    axes: Axes, left: float, down: float, steps: Sequence[tuple[int, str, float]]
) -> None:
    for who, words, width in steps:
        name, colour, ink = BUYERS[who]
        axes.add_patch(Rectangle((left, down), width - 0.06, 0.8, color=colour))
        middle = left + width / 2, down + 0.43
        axes.text(*middle, name + words, color=ink, ha="center", va="center", fontsize=8)
        left += width
