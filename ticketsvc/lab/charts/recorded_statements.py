"""The statements of a burst as the wire recorded them: a row for each connection."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import (
    CHANGES,
    INK,
    NEUTRAL,
    READS,
    legend_below,
    new_chart,
    say_finding,
)

_KINDS = {
    "read": (READS, 1.0, "reads"),
    "change": (CHANGES, 1.0, "changes what is read"),
    "other change": (CHANGES, 0.5, "changes what is not read"),
    "transaction": (NEUTRAL, 1.0, "begins or ends a transaction"),
    "other": (NEUTRAL, 0.5, "other"),
}
_MARKS = {
    "stale": ("x", INK, "stale when its reader wrote"),
    "outdated": ("o", "none", "ended before the first change"),
}


def recorded_statements(statements: pd.DataFrame) -> Figure:
    """Draw each statement as a bar in its connection's row, with reads out of date marked.

    *statements*: as `recording.statement_table` returns them.
    """
    connections = list(dict.fromkeys(statements["connection"]))
    figure, [axes] = new_chart(height=1.9 + 0.26 * max(2, len(connections)))
    numbers = {name: number for number, name in enumerate(connections, start=1)}
    places = statements["connection"].map(numbers)
    span = statements["ended_ms"].max() if len(statements) else 1.0
    widths = (statements["ended_ms"] - statements["began_ms"]).clip(lower=span / 300)
    for kind, (colour, alpha, label) in _KINDS.items():
        chosen = statements["kind"] == kind
        if chosen.any():
            axes.barh(
                places[chosen],
                widths[chosen],
                left=statements["began_ms"][chosen],
                height=0.7,
                color=colour,
                alpha=alpha,
                linewidth=0,
                label=label,
            )
    for mark, (symbol, face, label) in _MARKS.items():
        chosen = statements["mark"] == mark
        if chosen.any():
            axes.plot(
                statements["ended_ms"][chosen],
                places[chosen],
                symbol,
                color=INK,
                markerfacecolor=face,
                markersize=5,
                label=label,
            )
    say_finding(axes, _finding(statements, len(connections)))
    axes.set_ylim(max(2, len(connections)) + 0.7, 0.3)
    axes.set_yticks(range(1, len(connections) + 1), connections)
    axes.set(xlabel="time since the first statement (ms)", ylabel="connection to the database")
    if len(statements):
        legend_below(figure)
    return figure


def _finding(statements: pd.DataFrame, connections: int) -> str:
    reads = int((statements["kind"] == "read").sum())
    stale = int((statements["mark"] == "stale").sum())
    outdated = int((statements["mark"] == "outdated").sum())
    if stale:
        return f"{stale} of {reads} reads were stale when their reader wrote"
    if outdated:
        return f"{outdated} of {reads} reads had ended before the first change of what they read"
    statements_on = f"{len(statements)} statements on {connections} connections"
    return f"{statements_on}, no read known to be out of date"
