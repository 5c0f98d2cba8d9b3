"""Notebook 10 on a scenario, and its page in a browser: offline, silent, to step through."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Browser, Findings
from tests.support.clusters import Cluster
from ticketsvc.lab.report.results import NotebookResult
from ticketsvc.lab.report.run_notebooks import run_notebooks
from ticketsvc.settings import ROOT

EXAMPLE = ROOT / "examples" / "sql" / "4-insert-where-not-exists"
SIZE = {
    "scenario": str(EXAMPLE / "broken.toml"),
    "fixed": str(EXAMPLE / "fixed.toml"),
    **{"clients": 0, "bursts": 1, "limit_of_fixes": 5},
}


@pytest.fixture(scope="module")
def ran_on_a_scenario(
    tmp_path_factory: pytest.TempPathFactory, server: Cluster
) -> tuple[NotebookResult, Path]:
    """The result of notebook 10, and its page."""
    folder = tmp_path_factory.mktemp("scenario")
    notebook = ROOT / "notebooks" / "10-is-it-in-your-service.ipynb"
    with server.clone() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        [result] = run_notebooks([notebook], SIZE, folder, folder / "runs")
    return result, folder / f"{notebook.stem}.html"


@pytest.fixture(scope="module")
def page_of_a_scenario(ran_on_a_scenario: tuple[NotebookResult, Path]) -> Path:
    return ran_on_a_scenario[1]


def test_the_notebook_ends_in_a_verdict_that_holds(
    ran_on_a_scenario: tuple[NotebookResult, Path],
) -> None:
    result, _ = ran_on_a_scenario
    assert (result.failure, result.state) == (None, "holds")
    assert result.claims[1] >= 8


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_shows_every_schedule_and_the_smallest_bad_one(
    page_of_a_scenario: Path, use: Browser, width: int
) -> None:
    def act(page: Page) -> None:
        page.locator(".schedule-grid label.cell").nth(1).click()
        expect(page.locator(".transcript").nth(1)).to_contain_text("violated: no seat twice")
        page.locator(".step-through label.at").last.click()
        expect(page.locator(".step-through .view").last).to_contain_text("cause: phantom")

    seen = use(page_of_a_scenario, width, act)
    assert seen.messages == []
    assert seen.outside == []
    assert all(seen.alts)
    assert seen.overflow_px <= 0


def test_axe_finds_nothing(page_of_a_scenario: Path, findings: Findings) -> None:
    assert findings(page_of_a_scenario) == []
