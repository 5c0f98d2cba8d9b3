"""JupyterLab as `lab` starts it, through its own page: run, interrupt, restart, save."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Chromium
from tests.notebooks import samples
from tests.support.clusters import Cluster
from tests.support.commands import start_command
from tests.support.processes import family
from tests.support.waiting import TIMEOUT_S, eventually
from ticketsvc.database.embedded import free_port
from ticketsvc.settings import ROOT

BURSTS = (
    "from ticketsvc.lab.experiments import bursts\n"
    "from ticketsvc.lab.experiments.lab import open_lab\n"
    "lab = open_lab()\n"
    "options = {'event': 'LONG', 'total': 8, 'purchases': 30, 'repetitions': 9999}\n"
    "await bursts.run_bursts(lab, 'naive', **options)"
)


expect.set_options(timeout=TIMEOUT_S * 1000)


class Lab:
    """A running `lab` on copies of the notebooks: its address, its database and its processes."""

    def __init__(self, folder: Path, database: str) -> None:
        self.notebooks, self.database, self.port = folder / "notebooks", database, free_port()
        shutil.copytree(ROOT / "notebooks", self.notebooks)
        samples.write(self.notebooks, "12-long", "How long?", BURSTS)
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
    return partial(chromium.do, _act_on(chromium.do(chromium.open, lab.url())))


def _act_on(page: Page) -> Callable[..., Any]:
    return lambda act: act(page)


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


def test_a_notebook_runs_again_after_a_restart_and_its_file_stays_as_it_was(
    lab: Lab, on_page: Callable[..., Any]
) -> None:
    file = lab.notebooks / "01-seed.ipynb"
    before, saved_ns = file.read_bytes(), file.stat().st_mtime_ns

    def act(page: Page) -> None:
        verdict = page.locator(".verdict")
        open_notebook(page, file.name)
        choose(page, "Run", "runmenu:run-all")
        expect(verdict).to_contain_text("both are clean")
        choose(page, "Kernel", "kernelmenu:restart-and-clear")
        page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(verdict).to_have_count(0)
        choose(page, "Run", "runmenu:run-all")
        expect(verdict).to_contain_text("both are clean")
        page.keyboard.press("Control+s")
        eventually(lambda: file.stat().st_mtime_ns != saved_ns and file.read_bytes() == before)

    on_page(act)


def test_an_interrupted_cell_leaves_no_process_and_no_lock(
    lab: Lab, on_page: Callable[..., Any]
) -> None:
    def act(page: Page) -> None:
        open_notebook(page, "12-long.ipynb")
        choose(page, "Run", "runmenu:run-all")
        eventually(lambda: lab.running("serve") and lab.locks())
        page.get_by_role("button", name="Interrupt the kernel").click()
        expect(page.locator(".jp-OutputArea-output", has_text="Error")).to_be_visible()

    on_page(act)
    eventually(lambda: not lab.running("serve") and not lab.locks())
