"""Small notebooks to try the report on: one that holds, one that fails, one that misbehaves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ticketsvc.lab.report import execution, redaction
from ticketsvc.lab.report import run_notebooks as reports
from ticketsvc.lab.report.index import write_index

DATABASE_URL = "postgresql://buyer:s3cr3t%26%25word@127.0.0.1:1/tickets"

PARAMETERS = "rows = 3  # rows of the table\nlabel = 'as it is'  # what the chart is called"
IMPORTS = (
    "import pandas as pd\nfrom matplotlib.figure import Figure\n"
    "from ticketsvc.lab.cell_progress import counted\n"
    "from ticketsvc.lab.figures import record\n"
    "from ticketsvc.lab.notebook import answer, say, show, verdict"
)
VERDICT = "from ticketsvc.lab.notebook import verdict"
COUNTS = "with counted('rows', rows) as count:\n    print('to ' + 'be cleared')"
TABLE = (
    "pd.DataFrame({f'column {n}': range(rows) for n in range(30)} | {'words': ['a & b'] * rows})"
)
CHART = (
    "record('rows of the table', 'rows', rows)\n"
    "figure = Figure()\n"
    "axes = figure.subplots()\n"
    "axes.plot(range(rows))\n"
    "axes.set_title(f'A line of \"{rows}\" points, {label}')\n"
    "show(figure, headline=True)"
)
SECTION = "say('## Many numbers')\npd.DataFrame({'number': range(20)})"
ANSWERS = "answer('Why?', 'Because `1 < 2` & so on.')"
HOLDS = "verdict('Yes: it <holds>.', {'one is one': 1 == 1, 'two is two': 2 == 2})"
FAILS = "verdict('Yes: it holds.', {'one is one': 1 == 1, 'one is two': 1 == 2})"
SAYS_PASSWORD = (
    "import html, os\n"
    "from psycopg.conninfo import conninfo_to_dict\n"
    "from IPython.display import HTML\n"
    "address = os.environ['DATABASE_URL']\n"
    "print(address, conninfo_to_dict(address))\n"
    "HTML('<b>' + html.escape(conninfo_to_dict(address)['password']) + '</b>')"
)
ASKS_OUTSIDE = (
    'HTML(\'<script>console.log(1)</script><img src="http://127.0.0.1:9/a.png" alt="gone">\'\n'
    '     \'<link rel=stylesheet href="http://127.0.0.1:9/a.css"><p onclick="f()">kept</p>\')'
)

STAND_IN = {
    "Processors": "2 (x86_64)",
    "Memory": "7.8 GiB",
    "System": "Debian GNU/Linux 13 (trixie), Linux 6.12.48+deb13-cloud-amd64",
    "Python": "3",
    "PostgreSQL": "18",
}
"""Facts of no real machine."""


def write(
    folder: Path, name: str, title: str, *cells: str, parameters: str = "", shares: bool = False
) -> Path:
    """Write a notebook: its title, its parameters cell when given, its code cells.

    *shares*: whether it says that it shares the machine.
    """
    made = [new_markdown_cell(f"# {title}\n\nInvariant: *this* holds, at $x$.")]
    if parameters:
        made.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    made += [new_code_cell(cell) for cell in cells]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    said = {"ticketsvc": {"shares_machine": True}} if shares else {}
    notebook = new_notebook(cells=made, metadata={"kernelspec": kernel, **said})
    file = folder / f"{name}.ipynb"
    nbformat.write(notebook, file)
    return file


def write_all(folder: Path) -> list[Path]:
    """Write the three, in their order."""
    long_code = "\n".join(f"line_{n} = {n}" for n in range(40))
    return [
        write(
            folder,
            "01-holds",
            "Does `it` hold?",
            *(IMPORTS, COUNTS, TABLE, CHART, long_code, SECTION, ANSWERS, HOLDS),
            parameters=PARAMETERS,
            shares=True,
        ),
        write(
            folder,
            "02-fails",
            "Does it fail?",
            *(VERDICT, FAILS, "print('never reached')"),
            shares=True,
        ),
        write(folder, "03-asks", "Does it ask?", SAYS_PASSWORD, ASKS_OUTSIDE, "{}['password']"),
    ]


class Ran:
    """The samples, run once in *folder*; `redacted` is what passwords were taken out of."""

    def __init__(self, folder: Path) -> None:
        self.reports, self.runs = folder / "reports", folder / "runs"
        self.calls: list[str] = []
        self.redacted: list[Any] = []

        def redact(value: Any, passwords: Sequence[str]) -> Any:
            self.redacted.append(value)
            return redaction.redact(value, passwords)

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", DATABASE_URL)
            patch.setattr(reports, "redact", redact)
            patch.setattr(execution, "PRELOAD", "pass")  # for speed
            self.results = reports.run_notebooks(
                write_all(folder),
                {"rows": 2},
                self.reports,
                self.runs,
                second_database=DATABASE_URL,
                on_start=lambda notebook: self.calls.append(notebook.stem),
                on_end=lambda result: self.calls.append(result.state),
            )
        write_index(self.results, self.reports, facts=STAND_IN)

    def page(self, name: str) -> str:
        return (self.reports / f"{name}.html").read_text()
