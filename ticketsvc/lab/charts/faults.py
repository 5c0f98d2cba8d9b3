"""Charts of faults: a table in, a labelled figure out, as in `charts`."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import REFERENCE, new_figure, say_finding

_SOLD, _LATER, _UNKNOWN = "#009E73", "#F0E442", "#D55E00"
_WITH, _WITHOUT = "#0072B2", "#D55E00"
_WIDE, _ROW = 9.0, 1.5


def sales_under_faults(answers: pd.DataFrame, strikes: pd.DataFrame) -> Figure:
    """Draw what buyers were told over time, a panel per fault, and when it struck.

    *answers* and *strikes*: as `ordeal.answers_over_time` and `strikes_over_time` give them.
    """
    names = list(answers["fault"].unique())
    figure, panels = new_figure(_WIDE, _ROW * len(names) + 0.8, len(names), stacked=True)
    width = answers["at_s"].drop_duplicates().sort_values().diff().median()
    for axes, name in zip(panels, names, strict=True):
        told = answers[answers["fault"] == name]
        below = pd.Series(0, index=told.index)
        for column, colour, label in (
            ("sold", _SOLD, "sold"),
            ("unknown", _UNKNOWN, "no answer"),
            ("later", _LATER, "not sold for now"),
        ):
            axes.bar(
                told["at_s"], told[column], width, below, align="edge", color=colour, label=label
            )
            below += told[column]
        struck = strikes[strikes["fault"] == name]
        for place, strike in enumerate(struck.itertuples()):
            label = "" if place else "the fault, while it lasts"
            axes.axvspan(
                strike.at_s,
                max(strike.over_s, strike.at_s + width / 4),
                color=REFERENCE,
                alpha=0.3,
                label=label,
            )
        longest = (struck["sold_s"] - struck["over_s"]).max()
        say_finding(axes, f"{name}: sells again {longest:.2f} s after it could, at the latest")
        axes.set_ylabel("answers")
    panels[0].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    panels[-1].set_xlabel(f"seconds since the first answer (bins of {width:.1f} s)")
    return figure


def sold_twice(rows: pd.DataFrame) -> Figure:
    """Draw how many purchases were sold twice under each fault, with keys and without.

    *rows*: as `ordeal.table` gives them.
    """
    figure, [axes] = new_figure(8.0, 3.4)
    names = list(rows["fault"].unique())
    for offset, keys, colour in ((-0.2, True, _WITH), (0.2, False, _WITHOUT)):
        of = rows[rows["keys"] == keys].set_index("fault").reindex(names)
        places = [place + offset for place in range(len(names))]
        bars = axes.bar(
            places, of["double"], 0.38, color=colour, label="with keys" if keys else "without"
        )
        axes.bar_label(
            bars, ["" if pd.isna(many) else f"{many:.0f}" for many in of["double"]], fontsize=8
        )
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    with_keys = rows.loc[rows["keys"], "double"].sum()
    without = rows.loc[~rows["keys"], "double"].sum()
    say_finding(axes, f"Asking again sells {without} twice without keys, {with_keys} with")
    axes.set_xlabel(f"fault ({rows['strikes'].max()} strikes each)")
    axes.set_ylabel("purchases sold twice")
    axes.legend(frameon=False, fontsize="small")
    return figure


def lost_by_durability(rows: pd.DataFrame) -> Figure:
    """Draw how many acknowledged purchases crashes lost, durable and not.

    *rows*: as `ordeal.table` gives them, of crashes.
    """
    figure, [axes] = new_figure(6.0, 3.0)
    names = [
        "synchronous_commit on" if durable else "synchronous_commit off"
        for durable in rows["durable"]
    ]
    colours = [_WITH if durable else _WITHOUT for durable in rows["durable"]]
    bars = axes.barh(names, rows["lost"], color=colours)
    told = zip(rows["lost"], rows["acknowledged"], strict=True)
    axes.bar_label(bars, [f"{lost} of {acknowledged}" for lost, acknowledged in told])
    axes.margins(x=0.2)
    off = rows.loc[~rows["durable"], "lost"].sum()
    on = rows.loc[rows["durable"], "lost"].sum()
    say_finding(axes, f"Without the flush {off} acknowledged purchases are lost, with it {on}")
    axes.set_xlabel(f"acknowledged purchases lost in {rows['strikes'].max()} crashes")
    axes.set_ylabel("commit")
    return figure
