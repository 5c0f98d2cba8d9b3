"""A chart as an element of a page."""

import html
import re
from io import StringIO

from matplotlib import rc_context
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import WIDTH

_MUTE = {"Date": None, "Creator": None, "Format": None, "Type": None}


def describe(figure: Figure) -> str:
    """Return the titles of *figure*, its axes and its legends: what there is to be seen in it."""
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    labels = [words for axes in figure.axes for words in (axes.get_xlabel(), axes.get_ylabel())]
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    parts = {
        "Chart": [figure.get_suptitle(), *titles],
        "Axes": list(dict.fromkeys(labels)),
        "Legend": [text.get_text() for one in legends for text in one.get_texts()],
    }
    said = {name: "; ".join(filter(None, words)) for name, words in parts.items()}
    return " ".join(" ".join(f"{name}: {words}." for name, words in said.items() if words).split())


def as_svg(figure: Figure) -> str:
    """Return *figure* as an SVG element to stand in a page or alone, with its description.

    Alone, as JupyterLab shows it, it is dark on white. A style sheet can take both from it.
    """
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata=_MUTE)
    text = re.sub(
        r'<metadata>.*?</metadata>|<!--.*?-->| id="[\w.]+_\d+"', "", buffer.getvalue(), flags=re.S
    )
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans, sans-serif)", text)
    text = text.replace("#000000", "currentColor")
    kind = "chart wide" if figure.get_figwidth() > WIDTH else "chart"
    return text[text.index("<svg") :].replace(
        "<svg ",
        f'<svg class="{kind}" role="img" aria-label="{html.escape(describe(figure))}" '
        'fill="currentColor" style="color: #1c2530; background: #fff" ',
        1,
    )
