"""The page of a notebook: one HTML file that carries all it shows.

It requests nothing from outside, and its content-security policy forbids it.
"""

import ast
from collections.abc import Collection, Container, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from ticketsvc.lab.notebook import VERDICT_MIME
from ticketsvc.lab.report.executed import find_title, outputs_of
from ticketsvc.lab.report.markup import complete
from ticketsvc.lab.report.notebooks import find_notebooks, literal, read_notebook
from ticketsvc.lab.report.results import RECORD, NotebookResult, Parameter
from ticketsvc.lab.report.templating import POLICY, TEMPLATES, write_at_once
from ticketsvc.lab.widgets.rendering import WIDGET_METADATA

_LONG_CODE_LINES = 16
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
    run: Collection[str] = (),
) -> Path:
    """Write *reports*/NAME.html, and NAME.json for the index; return the page's path.

    Pictures that the prose names are taken from the folder *pictures_from* into the page. It links
    to the notebook before and the one after if they are in this *run* or have a page already.
    """
    exporter = HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        embed_images=True,
        exclude_anchor_links=True,
        config=Config(NbConvertBase={"display_data_priority": _SHOWN_TYPES}),
    )
    linked = {*run, *(page.stem for page in reports.glob("*.html"))}
    resources = {
        "metadata": {"name": result.name, "path": str(pictures_from)},
        "policy": POLICY,
        "verdict_mime": VERDICT_MIME,
        "long_code_lines": _LONG_CODE_LINES,
        "result": result,
        "imports": [cell.get("id") for cell in executed.cells if _only_imports(cell)],
        "neighbours": _neighbours(result.name, pictures_from, linked),
        "parameters": [_shown(parameter, result.parameters) for parameter in declared],
    }
    shown = deepcopy(executed)
    _drop_title(shown)
    widgets = _take_widgets(shown)
    page, _ = exporter.from_notebook_node(shown, resources)
    page = complete(page)
    for place, widget in widgets.items():
        page = page.replace(place, widget)
    reports.mkdir(parents=True, exist_ok=True)
    file = reports / f"{result.name}.html"
    write_at_once(file, page.encode(errors="replace"))
    write_at_once(reports / f"{result.name}.json", RECORD.dump_json(result, indent=1) + b"\n")
    return file


def _shown(parameter: Parameter, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out a parameter as it was used; giving the default again is no change."""
    name, default = parameter.name, parameter.default
    return {
        "name": name,
        "value": repr(chosen[name]) if name in chosen else default,
        "help": parameter.help,
        "changed": name in chosen and literal(default) != chosen[name],
    }


def _drop_title(notebook: NotebookNode) -> None:
    """Take the first heading out of *notebook*: the page has its own."""
    for cell in notebook.cells:
        first, _, rest = cell.source.lstrip().partition("\n")
        if cell.cell_type == "markdown" and first.startswith("#"):
            cell.source = rest.lstrip()
            if not cell.source:
                notebook.cells.remove(cell)
            return


def _take_widgets(notebook: NotebookNode) -> dict[str, str]:
    """Leave an empty element for each widget of ours in *notebook*; return these, and filled ones.

    A schedule grid has ten thousands of elements, and to parse them takes seconds.
    """
    widgets: dict[str, str] = {}
    for output in outputs_of(notebook):
        if WIDGET_METADATA in output.get("metadata", {}).get("text/html", {}):
            style, end, widget = output.data["text/html"].partition("</style>")
            place = f'<div id="widget-{len(widgets) + 1}"></div>'
            widgets[place] = place.replace("></div>", f">{widget}</div>")
            output.data["text/html"] = style + end + place
    return widgets


def _only_imports(cell: NotebookNode) -> bool:
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError:  # prose, or a magic of IPython
        return False
    return bool(statements) and all(
        isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements
    )


def _neighbours(name: str, folder: Path, linked: Container[str]) -> dict[str, dict[str, str]]:
    """Return name and title of the notebook before and of the one after, if *linked*."""
    names = [file.stem for file in find_notebooks(folder)]
    place = names.index(name)
    beside = {"previous": names[:place][-1:], "next": names[place + 1 :][:1]}
    return {
        which: {"name": other, "title": find_title(read_notebook(folder / f"{other}.ipynb")) or ""}
        for which, found in beside.items()
        for other in found
        if other in linked
    }
