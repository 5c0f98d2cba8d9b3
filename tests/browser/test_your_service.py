"""The page of a scenario in a browser: offline, silent, as wide as the window, to step through."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Browser, Findings
from tests.support.clusters import Cluster
from ticketsvc.lab.report.run_notebooks import run_notebooks
from ticketsvc.settings import ROOT

SCENARIO = ROOT / "examples" / "sql" / "4-insert-where-not-exists" / "broken.toml"


@pytest.fixture(scope="module")
def page_of_a_scenario(tmp_path_factory: pytest.TempPathFactory, server: Cluster) -> Path:
    folder = tmp_path_factory.mktemp("scenario")
    notebook = ROOT / "notebooks" / "10-is-it-in-your-service.ipynb"
    chosen = {"scenario": str(SCENARIO), "clients": 0, "bursts": 1, "limit_of_fixes": 5}
    with server.clone() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        [result] = run_notebooks([notebook], chosen, folder, folder / "runs")
    assert result.state == "holds", result.failure
    return folder / f"{notebook.stem}.html"


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
