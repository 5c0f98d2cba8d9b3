"""The pages of the report: one HTML file per notebook, and the index of them all.

Each file carries all it shows. It asks for nothing outside, and its content-security policy
would not let it.
"""

import ast
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import psycopg
from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from ticketsvc.lab.notebook import VERDICT_MIME
from ticketsvc.lab.report.results import NotebookResult, Parameter
from ticketsvc.settings import ROOT

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
_TEMPLATES = Path(__file__).parent / "templates"
_LONG_CODE_LINES = 16
_NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?\s*%?|nan|inf|—|-", re.IGNORECASE)
_PACKAGES = ("ticketsvc", "psycopg", "aiohttp", "pandas", "matplotlib", "papermill")
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


def write_report(
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
        extra_template_basedirs=[str(_TEMPLATES)],
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


def write_index(
    results: Iterable[NotebookResult],
    reports: Path,
    *,
    facts: Mapping[str, str],
    known: Iterable[str] | None = None,
) -> Path:
    """Write *reports*/index.html over *results* and the earlier reports that lie there.

    *known*: names of the notebooks there are; the report of any other is left out.
    """
    new = {result.name: result for result in results}
    entries = {**_earlier(reports), **new}
    kept = set(entries if known is None else known) | new.keys()
    shown = [entries[name] for name in sorted(kept & entries.keys())]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    states = [result.state for result in shown]
    page = environment.get_template("index.html.j2").render(
        policy=POLICY,
        results=shown,
        new=new.keys(),
        facts=facts,
        failed=states.count("failed"),
        undecided=states.count("no verdict"),
        claims_held=sum(result.claims[0] for result in shown),
        claims=sum(result.claims[1] for result in shown),
        has_charts=any(result.charts for result in shown),
    )
    reports.mkdir(parents=True, exist_ok=True)
    file = reports / "index.html"
    file.write_text(page, encoding="utf-8", errors="replace")
    return file


def gather_facts(database_url: str | None) -> dict[str, str]:
    """Say what the figures were measured on, and when: machine, server, versions."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Processors": f"{usable} ({platform.machine()})",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "System": _system(),
        "Python": platform.python_version(),
        "PostgreSQL": _server_version(database_url) if database_url else "none",
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    commit = _commit()
    if commit:
        facts["Commit"] = commit
    return facts


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


def _earlier(reports: Path) -> dict[str, NotebookResult]:
    """Read the results that lie beside their pages; what is not one is passed over."""
    found = {}
    for file in reports.glob("*.json"):
        if not file.with_suffix(".html").exists():
            continue
        try:
            result = NotebookResult.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            continue
        found[file.stem] = result
    return found


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
    return f"{name}, {platform.system()} {platform.release()}"


def _server_version(database_url: str) -> str:
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.Error:
        return "did not answer"
    return str(row[0]) if row else "did not answer"


def _commit() -> str | None:
    """Name the checkout's commit, and whether the files differ from it."""
    try:
        answers = [
            subprocess.run(
                ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "--short=10", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{answers[0]} with local changes" if answers[1] else answers[0]
