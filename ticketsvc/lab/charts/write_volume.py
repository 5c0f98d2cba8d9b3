"""Charts of write volume: a table in, a labelled chart out."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import COLOURS, label_ends, logarithmic, new_chart, say_finding


def wal_by_quantity(volumes: pd.DataFrame) -> Figure:
    """Draw the WAL bytes per purchase and per ticket against the quantity, per allocator.

    *volumes*: as `write_volume.measure_write_volume` returns them.
    """
    figure, [per_purchase, per_ticket] = new_chart(6.4, panels=2)
    names = list(dict.fromkeys(volumes["allocator"]))
    last = volumes[volumes["quantity"] == volumes["quantity"].max()]
    for axes, column, what in (
        (per_purchase, "wal_bytes", "purchase"),
        (per_ticket, "wal_bytes_per_ticket", "ticket"),
    ):
        for place, name in enumerate(names):
            rows = volumes[volumes["allocator"] == name]
            axes.plot(
                rows["quantity"],
                rows[column],
                color=COLOURS[name],
                marker="o",
                linewidth=0.8 * (len(names) - place),  # what lies on another leaves it visible
            )
        logarithmic(axes, sorted(volumes["quantity"].unique()))
        axes.set(xlabel="tickets per purchase", ylabel=f"WAL per {what} (bytes)")
        label_ends(axes, zip(last["allocator"], last[column], strict=True))
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
