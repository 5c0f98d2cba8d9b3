"""What a report needs to be imported."""

import json
import subprocess
import sys

from ticketsvc.settings import ROOT


def test_a_notebook_without_allocators_runs_while_one_of_them_is_broken():
    cells = json.loads((ROOT / "notebooks" / "01-seed.ipynb").read_text())["cells"]
    program = [
        "import sys",
        "sys.modules['ticketsvc.allocators'] = None  # importing it fails",
        "import ticketsvc.lab.report.run_notebooks",
        *(line for cell in cells for line in cell["source"] if line.startswith("from ticketsvc")),
    ]
    subprocess.run([sys.executable, "-c", "\n".join(program)], check=True)
