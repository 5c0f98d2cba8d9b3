"""Render a template as one output of a notebook that works without a script.

What can be clicked is the label of a radio button, and the style sheet shows what belongs to the
chosen one. This works in JupyterLab and in a report, whose policy allows no script.
"""

from pathlib import Path
from secrets import token_hex

from IPython.display import HTML
from jinja2 import Environment, FileSystemLoader, StrictUndefined

WIDGET_METADATA = "ticketsvc-widget"
"""Marks an output as one that this module made, and that a page shows as it is."""
_FOLDER = Path(__file__).parent / "templates"
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def render(template: str, **values: object) -> HTML:
    """Return *template* with *values*, escaped, the style sheet, and a prefix for its ids.

    The prefix is random: two notebooks that are open in JupyterLab share one page, and a label
    in one of them must not choose a radio button in the other.
    """
    style = (_FOLDER / "schedules.css").read_text(encoding="utf-8")
    page = _TEMPLATES.get_template(template)
    text = page.render(style=style, prefix=f"s{token_hex(5)}", **values)
    return HTML(text, metadata={WIDGET_METADATA: True})
