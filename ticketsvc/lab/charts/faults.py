"""Charts of fault experiments: a table in, a labelled chart out."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import INK, LINE_COLOURS, legend_below, new_chart, say_finding

_WITH, _WITHOUT, _SOLD, _LATER = LINE_COLOURS
_ROW = 1.5


def sales_under_faults(answers: pd.DataFrame, injections: pd.DataFrame) -> Figure:
    """Draw the answers over time, a panel per fault, and when the fault was injected.

    *answers* and *injections*: as `answers_over_time` and `injections_over_time` return them.
    """
    names = list(answers["fault"].unique())
    figure, panels = new_chart(_ROW * len(names) + 1.1, len(names))
    width = answers["at_s"].drop_duplicates().sort_values().diff().median()
    for axes, name in zip(panels, names, strict=True):
        counts = answers[answers["fault"] == name]
        steps = counts.set_index("at_s")[["sold", "unknown", "later"]]
        steps.loc[steps.index[-1] + width] = steps.iloc[-1]
        axes.stackplot(
            steps.index,
            steps.T,
            step="post",
            colors=(_SOLD, _WITHOUT, _LATER),
            labels=("sold", "no answer", "try again later"),
            linewidth=0,
        )
        injected = injections[injections["fault"] == name]
        for place, one in enumerate(injected.itertuples()):
            label = "" if place else "the fault, while it lasts"
            axes.axvspan(
                one.at_s,
                max(one.restored_s, one.at_s + width / 4),
                color=INK,
                alpha=0.2,
                zorder=0,
                label=label,
            )
        longest = (injected["first_sale_s"] - injected["restored_s"]).max()
        say_finding(axes, f"{name}: a request after it sells within {longest:.2f} s")
        axes.set_ylabel("answers")
        axes.set_xlim(0, answers["at_s"].max() + width)
    legend_below(figure)
    panels[-1].set_xlabel(f"seconds since the first answer (bins of {width:.2f} s)")
    return figure


def sold_twice(with_keys: pd.DataFrame, without_keys: pd.DataFrame) -> Figure:
    """Draw how many purchases were sold twice under each fault, with keys and without.

    Both: as `fault_table` returns them.
    """
    figure, [axes] = new_chart()
    names = list(without_keys["fault"].unique())
    for offset, rows, label, colour in (
        (-0.2, with_keys, "with keys", _WITH),
        (0.2, without_keys, "without", _WITHOUT),
    ):
        counts = rows.set_index("fault").reindex(names)["sold_twice"]
        places = [place + offset for place in range(len(names))]
        bars = axes.bar(places, counts, 0.38, color=colour, label=label)
        axes.bar_label(
            bars, ["" if pd.isna(count) else f"{count:.0f}" for count in counts], fontsize=8
        )
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    twice, never = without_keys["sold_twice"].sum(), with_keys["sold_twice"].sum()
    say_finding(axes, f"Trying again sells {twice} purchases twice without keys, {never} with keys")
    axes.set_xlabel(f"fault ({with_keys['injections'].min()} or more injections each)")
    axes.set_ylabel("purchases sold twice")
    legend_below(figure)
    return figure


def lost_by_durability(rows: pd.DataFrame) -> Figure:
    """Draw how many acknowledged purchases crashes lost, durable and not.

    *rows*: as `fault_table` returns them, for crashes.
    """
    figure, [axes] = new_chart(2.4)
    names = rows["durable"].map({True: "synchronous_commit on", False: "synchronous_commit off"})
    colours = [_WITH if durable else _WITHOUT for durable in rows["durable"]]
    bars = axes.barh(names, rows["lost"], color=colours)
    counts = zip(rows["lost"], rows["acknowledged"], strict=True)
    axes.bar_label(bars, [f"{lost} of {acknowledged}" for lost, acknowledged in counts], padding=3)
    axes.margins(x=0.2)
    lost = rows.groupby("durable")["lost"].sum()
    say_finding(
        axes,
        f"Without the flush {lost[False]} acknowledged purchases are lost, with it {lost[True]}",
    )
    axes.set_xlabel(f"acknowledged purchases lost in {rows['injections'].max()} crashes")
    axes.set_ylabel("commit")
    return figure
