"""The page of a notebook: one HTML file that carries all it shows.

It requests nothing from outside, and its content-security policy forbids it.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from ticketsvc.lab.notebook import VERDICT_MIME
from ticketsvc.lab.report.results import NotebookResult, Parameter

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
TEMPLATES = Path(__file__).parent / "templates"
_LONG_CODE_LINES = 16
_NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?\s*%?|nan|inf|—|-", re.IGNORECASE)
# Scripts and widgets are left out: they would need the network or a looser policy.
_SHOWN_TYPES = [
    VERDICT_MIME,
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/plain",
    "text/latex",
]


def write_page(
    executed: NotebookNode,
    result: NotebookResult,
    declared: Sequence[Parameter],
    reports: Path,
    *,
    pictures_from: Path,
) -> Path:
    """Write *reports*/NAME.html, and NAME.json for the index; return the page's path.

    Pictures that the prose names are taken from the folder *pictures_from* into the page.
    """
    exporter = HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        embed_images=True,
        exclude_anchor_links=True,
        config=Config(NbConvertBase={"display_data_priority": _SHOWN_TYPES}),
    )
    resources = {
        "metadata": {"name": result.name, "path": str(pictures_from)},
        "policy": POLICY,
        "verdict_mime": VERDICT_MIME,
        "long_code_lines": _LONG_CODE_LINES,
        "result": result,
        "parameters": [_shown(parameter, result.parameters) for parameter in declared],
    }
    page, _ = exporter.from_notebook_node(_without_title(executed, result.title), resources)
    reports.mkdir(parents=True, exist_ok=True)
    file = reports / f"{result.name}.html"
    file.write_text(_self_contained(page), encoding="utf-8", errors="replace")
    record = json.dumps(result.as_dict(), indent=1)
    (reports / f"{result.name}.json").write_text(record + "\n", encoding="utf-8")
    return file


def _shown(parameter: Parameter, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out a parameter as it was used; giving the default again is no change."""
    changed = parameter.name in chosen
    value = repr(chosen[parameter.name]) if changed else parameter.default
    if changed:
        try:
            changed = ast.literal_eval(parameter.default) != chosen[parameter.name]
        except (ValueError, SyntaxError):
            changed = True
    return {"name": parameter.name, "value": value, "help": parameter.help, "changed": changed}


def _without_title(executed: NotebookNode, title: str) -> NotebookNode:
    """Copy the notebook without its first heading and its widgets: the page has its own."""
    copy = NotebookNode(executed)
    copy.metadata = NotebookNode(
        {name: value for name, value in executed.metadata.items() if name != "widgets"}
    )
    copy.metadata.title = title
    copy.metadata.setdefault("language_info", {"name": "python", "pygments_lexer": "ipython3"})
    copy.cells = list(executed.cells)
    for place, cell in enumerate(copy.cells):
        first, _, rest = cell.source.lstrip().partition("\n")
        if cell.cell_type == "markdown" and first.startswith("#"):
            without = NotebookNode({**cell, "source": rest.lstrip()})
            copy.cells[place : place + 1] = [without] if rest.strip() else []
            break
    return copy


def _self_contained(page: str) -> str:
    """Take out whatever an output brought along that would run or ask for something."""
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.select("script, iframe, object, embed, link, base, audio, video"):
        if not str(element.get("href", "")).startswith("data:"):
            element.decompose()
    for picture in soup.select("img"):
        del picture["srcset"]
        if not str(picture.get("src", "")).startswith("data:"):
            words = picture.get("alt") or "no description"
            picture.replace_with(f"[picture not in this file: {words}]")
    _align_numbers(soup)
    for element in soup.find_all(True):
        for name in [name for name in element.attrs if name.lower().startswith("on")]:
            del element[name]
    return str(soup)


def _align_numbers(soup: BeautifulSoup) -> None:
    """Mark the number columns of pandas' tables, for the style sheet to align."""
    for table in soup.select("table.dataframe"):
        rows = [row.find_all("td") for row in table.select("tbody tr")]
        width = max(map(len, rows), default=0)
        heads = [row.find_all("th")[-width:] for row in table.select("thead tr") if width]
        for column in range(width):
            cells = [row[column] for row in rows if len(row) == width]
            if all(_NUMBER.fullmatch(cell.get_text(strip=True)) for cell in cells):
                for line in [*heads, *rows]:
                    if len(line) == width:
                        line[column]["class"] = "number"
