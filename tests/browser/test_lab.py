"""JupyterLab as `lab` starts it, through its own page: run, interrupt, restart, save."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nbformat
import psutil
import psycopg
import pytest
from nbformat.v4 import new_code_cell
from playwright.sync_api import Page, expect

from tests.browser.conftest import Chromium
from tests.support.clusters import Cluster
from tests.support.commands import start_command
from tests.support.processes import family
from tests.support.waiting import TIMEOUT_S, eventually
from ticketsvc.database.embedded import free_port
from ticketsvc.lab.report.notebooks import read_notebook
from ticketsvc.settings import ROOT

# Bursts that would go on for hours, the first time that the cell runs.
BURSTS = (
    "from pathlib import Path\n"
    "from ticketsvc.lab.experiments import bursts\n"
    "options = {'event': 'LONG', 'kinds': [(30, 8)], 'repetitions': 9999}\n"
    "if not Path('began').exists():\n"
    "    Path('began').touch()\n"
    "    await bursts.run_bursts(lab, 'naive', **options)"
)


expect.set_options(timeout=TIMEOUT_S * 1000)


class Lab:
    """A running `lab` on copies of the notebooks: its address, its database and its processes."""

    def __init__(self, folder: Path, database: str) -> None:
        self.notebooks, self.database, self.port = folder / "notebooks", database, free_port()
        shutil.copytree(ROOT / "notebooks", self.notebooks)
        self.file = self.notebooks / "01-seed.ipynb"
        seed = read_notebook(self.file)
        seed.cells.append(new_code_cell(BURSTS))
        nbformat.write(seed, self.file)
        homes = {
            f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")
        }
        options = [f"--ServerApp.root_dir={self.notebooks}", "--IdentityProvider.token=t"]
        options += ["--no-browser", f"--port={self.port}"]
        self.process = start_command("lab", "--", *options, DATABASE_URL=database, **homes)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}?token=t"

    def answers(self) -> bool:
        with suppress(OSError), urlopen(self.url("/api")):  # noqa: S310 - the address is our own
            return True
        return bool(self.process.poll())

    def running(self, word: str) -> list[psutil.Process]:
        """Return the processes below it whose command line has *word*."""
        return [one for one in family(self.process.pid) if word in one.cmdline()]

    def locks(self) -> int:
        with psycopg.connect(self.database) as connection:
            query = (
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE granted AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND datname = current_database()"
            )
            [count] = connection.execute(query).fetchone() or [0]
            return int(count)


@pytest.fixture(scope="module")
def lab(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with server.clone() as database:
        running = Lab(tmp_path_factory.mktemp("lab"), database)
        try:
            eventually(running.answers)
            yield running
        finally:
            running.process.terminate()
            running.process.communicate(timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def on_page(lab: Lab, chromium: Chromium) -> Callable[..., Any]:
    """Return what does something on the one page that shows the lab."""
    page = chromium.do(chromium.open, lab.url())
    return lambda act: chromium.do(act, page)


def open_notebook(page: Page, name: str) -> None:
    page.get_by_role("listitem", name=f"Name: {name}").dblclick()


def choose(page: Page, menu: str, command: str) -> None:
    """Choose *command* in *menu* once the kernel has nothing to do."""
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible()
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(f'[data-command="{command}"]').click()


def test_it_opens_on_the_contents_without_news(on_page: Callable[..., Any]) -> None:
    def act(page: Page) -> None:
        expect(page.get_by_role("link", name="02 reproduce")).to_be_visible()
        expect(page.get_by_text("Jupyter news")).to_have_count(0)

    on_page(act)


def test_what_is_interrupted_leaves_nothing_and_runs_again_after_a_restart(
    lab: Lab, on_page: Callable[..., Any]
) -> None:
    before, saved_ns = lab.file.read_bytes(), lab.file.stat().st_mtime_ns

    def act(page: Page) -> None:
        verdict = page.locator(".verdict")
        open_notebook(page, lab.file.name)
        choose(page, "Run", "runmenu:run-all")
        expect(verdict).to_contain_text("both are clean")
        eventually(lambda: lab.running("serve") and lab.locks())
        page.get_by_role("button", name="Interrupt the kernel").click()
        expect(page.locator(".jp-OutputArea-output", has_text="Error")).to_be_visible()
        eventually(lambda: not lab.running("serve") and not lab.locks())
        choose(page, "Kernel", "kernelmenu:restart-and-clear")
        page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(verdict).to_have_count(0)
        choose(page, "Run", "runmenu:run-all")
        expect(verdict).to_contain_text("both are clean")
        page.keyboard.press("Control+s")
        # What it saves is what there was: no outputs.
        eventually(
            lambda: lab.file.stat().st_mtime_ns != saved_ns and lab.file.read_bytes() == before
        )

    on_page(act)
