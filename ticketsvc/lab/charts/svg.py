"""A chart as an element of a page."""

import html
import re
from io import StringIO

from matplotlib import rc_context
from matplotlib.figure import Figure

from ticketsvc.lab.charts.style import WIDTH

_MUTE = {"Date": None, "Creator": None, "Format": None, "Type": None}


def as_svg(figure: Figure, alt: str) -> str:
    """Return *figure* as an SVG element to stand in a page or alone, described by *alt*.

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
        f'<svg class="{kind}" role="img" aria-label="{html.escape(alt)}" fill="currentColor" '
        'style="color: #1c2530; background: #fff" ',
        1,
    )
