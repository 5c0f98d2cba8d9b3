"""What all charts share: the colours, an empty chart with its panels, a title, labels, bars.

An allocator has the same colour in every chart. Each colour stands out from white and from the dark
paper of a report (3:1), and the colour-blind can tell them apart; labels repeat what they say.
Charts are as wide as a phone shows readably; panels stand one below the other.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from zlib import crc32

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

WIDTH = 5.6
INK = "black"
"""Text, axes and reference lines: a report shows it in the colour of its own text."""
LINE_COLOURS = ("#0080FF", "#B23B00", "#549999", "#8E9954")
"""For what is not an allocator, and for allocators that are not in the table below."""
READS, CHANGES = LINE_COLOURS[:2]
"""Of the statements over time."""
NEUTRAL = "#8A8F98"
"""For what is drawn to compare with: an upper bound, other statements."""
BUYERS = (("A", "#0072B2", "white"), ("B", "#F0C27A", "#1C1C1C"))
"""Each buyer of a pair: the name, its colour, and what can be read on that."""


class _Colours(dict[str, str]):
    """The colour of each allocator; a new one gets a colour by its name."""

    def __missing__(self, name: str) -> str:
        return LINE_COLOURS[crc32(name.encode()) % len(LINE_COLOURS)]


COLOURS = _Colours(
    {
        "naive": "#D55E00",
        "naive_bulk": "#995736",
        "transaction": "#999936",
        "repeatable_read": "#B23E52",
        "unique_only": "#6A6080",
        "row_lock": "#1B99B2",
        "advisory_lock": "#7E8FE6",
        "repeatable_read_retry": "#264AFF",
        "serializable": "#777777",
        "ticket_rows": "#0072B2",
        "range": "#009E73",
        "group_commit": "#7447CC",
    }
)


def new_chart(height: float = 3.6, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty chart, as matplotlib's figure, and its panels, one below the other."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = list(figure.subplots(panels, 1, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def say_finding(axes: Axes, finding: str) -> None:
    """Let the title of *axes* state what is to be seen."""
    lines = [textwrap.fill(line, 56) for line in finding.splitlines()]
    title = axes.set_title("\n".join(lines), loc="left", fontsize="medium", fontweight="bold")
    title.set_x(0)


def note(
    axes: Axes, words: str, x: float, y: float, *, right: float, up: float = 0, **more: Any
) -> None:
    """Write *words* beside a point, this far *right* of it and *up* from it."""
    axes.annotate(words, (x, y), (right, up), textcoords="offset points", fontsize="small", **more)


def logarithmic(axes: Axes, places: Sequence[int]) -> None:
    """Make both scales logarithmic, the lower one with a mark at each of *places*."""
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xticks=places)
    axes.xaxis.set_major_formatter(ScalarFormatter())


def legend_below(figure: Figure) -> None:
    """Say below *figure* what its first panel draws, where it covers nothing."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize="small"
    )


def label_ends(
    axes: Axes, ends: Iterable[tuple[str, float]], others: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write each name right of *axes*, as near to its height as the others leave room.

    Call it when limits are final. A name has the colour of its allocator, or that in *others*, and
    a line leads from its height to it.
    """
    apart, most = 0.075, 1.0
    to_axes = axes.transData + axes.transAxes.inverted()
    ordered = sorted((float(to_axes.transform((1, height))[1]), name) for name, height in ends)
    places: list[float] = []
    for height, _ in ordered:  # upwards, each above the one before
        places.append(max(height, places[-1] + apart) if places else height)
    for number in reversed(range(len(places))):  # downwards, so that the last is not too high
        places[number] = most = min(places[number], most)
        most -= apart
    for (height, name), place in zip(ordered, places, strict=True):
        colour = others.get(name, COLOURS[name])
        axes.annotate(
            name,
            (1.0, height),
            (1.08, place),
            xycoords="axes fraction",
            color=colour,
            va="center",
            fontsize="small",
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": colour, "relpos": (0, 0.5), "shrinkB": 8},
        )


def draw_pairs(
    axes: Axes,
    names: Sequence[str],
    solid: "pd.Series[float]",
    hatched: "pd.Series[float]",
    colours: str | Sequence[str],
) -> tuple[BarContainer, BarContainer]:
    """Draw for each of *names* a solid bar, and below it a hatched one; return both kinds."""
    places = pd.Series(range(len(names)))
    bars = axes.barh(places - 0.2, solid, height=0.36, color=colours)
    others = axes.barh(places + 0.2, hatched, height=0.36, color=colours, alpha=0.5, hatch="//")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    return bars, others
