"""Fill in a template for one output of a notebook, so that it works without any script.

What can be clicked is a radio button and its label, and the style sheet shows what is chosen:
that works in JupyterLab and in a report, whose policy allows no script.
"""

from pathlib import Path
from secrets import token_hex

from IPython.display import HTML
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER = Path(__file__).parent / "templates"
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def fill_in(template: str, **values: object) -> HTML:
    """Fill *values*, escaped, into *template*, with the style sheet and a prefix for its ids.

    The prefix is drawn at random: two notebooks that are open side by side in JupyterLab share
    one page, and a label of the one must not reach into the other.
    """
    style = (_FOLDER / "schedules.css").read_text(encoding="utf-8")
    page = _TEMPLATES.get_template(template)
    return HTML(page.render(style=style, prefix=f"s{token_hex(5)}", **values))
