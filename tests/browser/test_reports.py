"""The report of small notebooks: what it says, and that it asks for nothing and fits the window."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Chromium, Visit
from tests.notebooks.samples import STAND_IN, Ran
from tests.support.clusters import Cluster
from ticketsvc.lab.report.compare import compare, write_comparison
from ticketsvc.lab.report.results import NotebookResult
from ticketsvc.lab.report.run_notebooks import run_notebooks
from ticketsvc.lab.report.runs import SavedRun
from ticketsvc.lab.report.templating import POLICY
from ticketsvc.settings import ROOT

WIDTHS = (400, 1280)
BAND, VERDICT, ERROR, FACTS = "header .band", "section.verdict", ".error .message", "dl.facts dt"
CHANGED, CONTENTS = "p.meta", "nav.contents li"
Visits = dict[str, list[Visit]]
ALT = 'Chart: A line of "2" points, as it is.'


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The sample notebooks, run once, with their pages and their index."""
    return Ran(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def visits(chromium: Chromium, ran: Ran) -> Visits:
    """Every page of the samples' report at every width, by the page's name."""
    files = sorted(ran.reports.glob("*.html"))
    seen: dict[str, list[Visit]] = {file.stem: [] for file in files}
    for one in chromium.do(
        chromium.visit, files, WIDTHS, (BAND, VERDICT, ERROR, FACTS, CHANGED, CONTENTS, "h1")
    ):
        seen[one.file.stem].append(one)
    return seen


def test_no_page_asks_for_anything_or_says_anything_or_overflows(visits: Visits) -> None:
    assert sorted(visits) == ["01-holds", "02-fails", "03-asks", "index"]
    for one in (one for page in visits.values() for one in page):
        where = f"{one.file.name} at {one.width}"
        assert one.requests[0] == one.file.as_uri(), where
        assert one.outside == [], where
        assert one.messages == [], where
        assert one.overflow_px <= 0, where
        assert all(one.alts), where
        assert one.broken_pictures == 0, where
        assert len(one.texts["h1"]) == 1, where


def test_a_page_is_titled_by_its_question_and_shows_its_verdict(visits: Visits) -> None:
    for one in visits["01-holds"]:
        assert one.title == "Does it hold?"
        assert one.texts["h1"] == ["Does it hold?"]
        assert one.alts == [ALT]
        [verdict] = one.texts[VERDICT]
        assert "Yes: it <holds>." in verdict
        assert "one is one" in verdict
        assert "2 of 2 claims hold" in one.texts[BAND][0]
        assert "1 parameter changed" in one.texts[CHANGED][0]


def test_a_failed_page_says_so_at_the_top(visits: Visits) -> None:
    for one in visits["02-fails"]:
        [band] = one.texts[BAND]
        assert "This notebook failed" in band
        assert "cell [2]: verdict(" in band
        assert "AssertionError: not borne out: one is two" in band
        assert "The run does not bear this notebook out." in one.texts[VERDICT][0]
        assert len(one.texts[ERROR]) == 1
    for one in visits["03-asks"]:
        assert "KeyError: 'password'" in one.texts[BAND][0]


def test_the_index_gathers_verdicts_charts_and_versions(visits: Visits) -> None:
    for one in visits["index"]:
        assert "2 of 3 notebooks failed" in one.texts[BAND][0]
        assert one.alts == [ALT]
        assert {"Processors", "Memory", "Python", "PostgreSQL"} <= set(one.texts[FACTS])


def test_every_link_leads_somewhere(visits: Visits) -> None:
    linked = set()
    for one in (one for page in visits.values() for one in page):
        for link in one.links:
            parts = urlsplit(link)
            target = Path(unquote(parts.path))
            assert parts.scheme == "file"
            assert target.is_file(), link
            if parts.fragment:
                assert f'id="{unquote(parts.fragment)}"' in target.read_text(), link
            if one.file.stem == "index":
                linked.add(target.stem)
    assert linked == {"01-holds", "02-fails", "03-asks"}


def test_a_page_leads_to_its_sections_and_to_its_neighbours(visits: Visits) -> None:
    narrow, wide = visits["01-holds"]
    assert (narrow.texts[CONTENTS], wide.texts[CONTENTS]) == ([], ["Many numbers"])
    assert f"{narrow.file.as_uri()}#many-numbers" in narrow.links
    for one in visits["02-fails"]:
        pages = {Path(urlsplit(link).path).stem for link in one.links}
        assert pages == {"index", "01-holds", "02-fails", "03-asks"}


def test_axe_finds_nothing(visits: Visits, chromium: Chromium) -> None:
    files = [visits[name][0].file for name in ("index", "01-holds", "02-fails")]
    assert chromium.do(chromium.audit, *files) == []


def test_two_runs_side_by_side_are_as_good_a_page(tmp_path: Path, chromium: Chromium) -> None:
    before, after = (SavedRun(name, STAND_IN | {"Python": name}, {}) for name in "ab")
    page = write_comparison(before, after, compare(before, after), tmp_path)
    [one] = chromium.do(chromium.visit, [page], [400], ["td"])
    assert (one.outside, one.messages, one.overflow_px <= 0) == ([], [], True)
    assert one.texts["td"][:4] == ["environment", "Python", "a", "b"]
    assert chromium.do(chromium.audit, page, schemes=["dark"]) == []


def test_axe_finds_what_is_wrong(tmp_path: Path, chromium: Chromium) -> None:
    """Negative control: what only the dark scheme makes hard to read is found there."""
    page = tmp_path / "page.html"
    page.write_text(
        "<!DOCTYPE html><html lang=en><title>Dark</title><style>"
        "@media (prefers-color-scheme: dark) { body { background: #111; color: #222 } }"
        "</style><main><h1>Hard to read</h1></main>"
    )
    assert chromium.do(chromium.audit, page, schemes=["light"]) == []
    [finding] = chromium.do(chromium.audit, page, schemes=["dark"])
    assert "color-contrast" in finding


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until what has the focus matches."""
    for _ in range(50):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_the_keyboard_alone_shows_code_opens_folds_and_scrolls(
    visits: Visits, chromium: Chromium
) -> None:
    def act(page: Page) -> None:
        code = page.locator(".jp-CodeCell .jp-Cell-inputWrapper")
        expect(code.locator("visible=true")).to_have_count(0)
        tab_to(page, "#show-code")
        page.keyboard.press("Space")
        expect(code.locator("visible=true")).to_have_count(code.count())
        for fold in (".long > summary", ".fold > summary"):
            tab_to(page, fold)
            assert fold_is_open(page) is False
            page.keyboard.press("Enter")
            assert fold_is_open(page) is True
            if fold == ".long > summary":
                tab_to(page, ".scroll")
                page.keyboard.press("ArrowRight")
                expect(page.locator(".scroll:focus")).not_to_have_js_property("scrollLeft", 0)

    def fold_is_open(page: Page) -> object:
        return page.evaluate("document.activeElement.parentElement.open")

    assert chromium.do(chromium.use, visits["01-holds"][0].file, 400, act).messages == []


@pytest.fixture
def outsider() -> Iterator[tuple[str, list[str]]]:
    """A server that is not the page: its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("policy", "reached"), [("", ["/a.png"]), (POLICY, [])], ids=["free", "policy"]
)
def test_a_page_that_asks_outside_is_caught(
    chromium: Chromium,
    tmp_path: Path,
    outsider: tuple[str, list[str]],
    policy: str,
    reached: list[str],
) -> None:
    """Negative control: every fault is seen; and under the policy nothing gets out."""
    address, asked = outsider
    file = tmp_path / "page.html"
    file.write_text(
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<img src="{address}/a.png"><p style="width: 2000px">wide</p>'
        "<script>console.log('said')</script>"
    )
    [seen] = chromium.do(chromium.visit, [file], [400], [])
    assert seen.outside == [f"{address}/a.png"]
    assert seen.messages
    assert ("said" in seen.messages) == bool(reached)
    assert seen.alts == [None]
    assert seen.broken_pictures == 1
    assert seen.overflow_px > 1000
    assert asked == reached


# Notebook 10, on a scenario

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


def test_notebook_10_ends_in_a_verdict_that_holds(
    ran_on_a_scenario: tuple[NotebookResult, Path],
) -> None:
    result, _ = ran_on_a_scenario
    assert (result.failure, result.state) == (None, "holds")
    assert result.claims[1] >= 8


def test_its_page_shows_every_schedule_and_the_smallest_bad_one(
    ran_on_a_scenario: tuple[NotebookResult, Path], chromium: Chromium
) -> None:
    def act(page: Page) -> None:
        page.locator(".schedule-grid label.cell").nth(1).click()
        expect(page.locator(".transcript").nth(1)).to_contain_text("violated: no seat twice")
        page.locator(".step-through label.at").last.click()
        expect(page.locator(".step-through .view").last).to_contain_text("cause: phantom")

    seen = chromium.do(chromium.use, ran_on_a_scenario[1], 400, act)
    assert seen.messages == []
    assert seen.outside == []
    assert all(seen.alts)
    assert seen.overflow_px <= 0


def test_axe_finds_nothing_on_its_page(
    ran_on_a_scenario: tuple[NotebookResult, Path], chromium: Chromium
) -> None:
    assert chromium.do(chromium.audit, ran_on_a_scenario[1]) == []
