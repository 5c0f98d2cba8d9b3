"""Charts of write volume: a table in, a labelled chart out."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from ticketsvc.lab.charts.style import (
    COLOURS,
    label_ends,
    new_chart,
    say_finding,
)


def wal_by_quantity(volumes: pd.DataFrame) -> Figure:
    """Draw the WAL bytes per purchase and per ticket against the quantity, per allocator.

    *volumes*: as `write_volume.measure_write_volume` returns them.
    """
    figure, [per_purchase, per_ticket] = new_chart(6.4, panels=2)
    names = list(dict.fromkeys(volumes["allocator"]))
    for place, name in enumerate(names):
        rows = volumes[volumes["allocator"] == name]
        for axes, column in ((per_purchase, "wal_bytes"), (per_ticket, "wal_bytes_per_ticket")):
            axes.plot(
                rows["quantity"],
                rows[column],
                color=COLOURS[name],
                marker="o",
                linewidth=0.8 * (len(names) - place),  # what lies on another leaves it visible
            )
    for axes, what in ((per_purchase, "purchase"), (per_ticket, "ticket")):
        axes.set_xscale("log", base=2)
        axes.set(yscale="log", xticks=sorted(volumes["quantity"].unique()))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set(xlabel="tickets per purchase", ylabel=f"WAL per {what} (bytes)")
    last = volumes[volumes["quantity"] == volumes["quantity"].max()]
    for axes, column in ((per_purchase, "wal_bytes"), (per_ticket, "wal_bytes_per_ticket")):
        label_ends(axes, [(row["allocator"], row[column]) for _, row in last.iterrows()])
    growth = volumes.groupby(["stores", "allocator"], sort=False)["wal_bytes"].agg(
        lambda bytes_: bytes_.max() / bytes_.min()
    )
    few, many = volumes["quantity"].min(), volumes["quantity"].max()
    (kind, most), *others = growth.groupby("stores", sort=False).max().items()
    say_finding(
        per_purchase,
        f"{many} tickets write at most\n{most:.1f} times what {few} do as {kind}"
        + "".join(f", {times:.1f} times as {other}" for other, times in others),
    )
    least = int(volumes["purchases"].min())
    say_finding(per_ticket, f"Per ticket ({least} purchases each)")
    return figure
