"""The schedule grid and the step-through in a report page: by mouse and by keyboard, no script."""

from pathlib import Path

import pytest
from nbformat.v4 import new_output
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Chromium
from tests.notebooks import samples
from tests.support import sample_runs
from ticketsvc.lab.explore.transcripts import transcript_of
from ticketsvc.lab.report.notebooks import read_notebook
from ticketsvc.lab.report.pages import write_page
from ticketsvc.lab.report.results import NotebookResult
from ticketsvc.lab.widgets.schedule_grid import schedule_grid
from ticketsvc.lab.widgets.step_through import step_through

NARROW, WIDE = 400, 1280
TOO_WIDE = "element => element.scrollWidth - element.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a schedule grid, the same grid again, two step-throughs, and hostile words."""
    folder = tmp_path_factory.mktemp("schedules")
    panels = {**sample_runs.panels(), "many": [sample_runs.oversold()] * 130}
    shown = {title: [*map(transcript_of, runs)] for title, runs in panels.items()}
    hostile = transcript_of(sample_runs.hostile())
    pictures = [
        *(schedule_grid(shown), schedule_grid(shown)),
        step_through(transcript_of(sample_runs.blocked())),
        step_through(transcript_of(sample_runs.oversold())),
        schedule_grid({sample_runs.HOSTILE: [hostile]}),
    ]
    file = samples.write(folder, "07-schedules", "Which break it?", *map(str, range(len(pictures))))
    executed = read_notebook(file)
    for cell, picture in zip(executed.cells[1:], pictures, strict=True):
        shown_as = {"text/html": picture.metadata}
        cell.outputs = [new_output("display_data", {"text/html": picture.data}, metadata=shown_as)]
    result = NotebookResult(file.stem, "Which break it?", 1.0, "2026-01-01", {}, None, None, ())
    return write_page(executed, result, [], folder / "reports", pictures_from=folder)


def panel(page: Page, grid: int, place: int) -> Locator:
    return page.locator(".schedule-grid").nth(grid).locator(".panel").nth(place)


def shown(where: Locator, selector: str) -> Locator:
    return where.locator(selector).locator("visible=true")


def test_a_cell_shows_its_transcript_and_hides_the_other(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        first, other = panel(page, 0, 0), panel(page, 0, 1)
        twin = panel(page, 1, 0)
        expect(shown(page.locator(".schedule-grid"), ".transcript")).to_have_count(0)
        first.locator("label.cell").nth(1).click()
        expect(shown(first, ".transcript")).to_have_count(1)
        expect(first.locator(".transcript").nth(1)).to_be_visible()
        expect(first.locator(".transcript").nth(1)).to_contain_text("16 tickets issued of 8")
        first.locator("label.cell").nth(4).click()
        expect(first.locator(".transcript").nth(1)).to_be_hidden()
        expect(first.locator(".transcript").nth(4)).to_contain_text("A until step 5")
        # Neither the panel below nor the same grid further down has moved.
        expect(shown(other, ".transcript")).to_have_count(0)
        expect(shown(twin, ".transcript")).to_have_count(0)
        other.locator("label.cell").nth(0).click()
        expect(first.locator(".transcript").nth(4)).to_be_visible()
        first.get_by_text("Close the transcript").click()
        expect(shown(first, ".transcript")).to_have_count(0)

    seen = chromium.do(chromium.use, report, NARROW, act)
    assert seen.messages == []
    assert seen.outside == []
    assert seen.overflow_px <= 0


def test_the_transcript_stands_below_all_cells(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        many = panel(page, 0, 2)
        many.locator("label.cell").first.click()
        box = shown(many, ".transcript").bounding_box()
        last = many.locator("label.cell").last.bounding_box()
        assert box
        assert last
        assert box["y"] >= last["y"] + last["height"]
        assert box["x"] + box["width"] <= NARROW

    chromium.do(chromium.use, report, NARROW, act)


def test_a_wide_transcript_scrolls_inside_itself(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        first = panel(page, 0, 0)
        first.locator("label.cell").nth(4).click()
        assert shown(first, ".transcript .sideways").evaluate(TOO_WIDE) > 0
        areas = page.locator(".jp-OutputArea-output:has(.schedules)").all()
        assert len(areas) == 5
        assert all(area.evaluate(TOO_WIDE) <= 0 for area in areas)

    chromium.do(chromium.use, report, NARROW, act)


def test_the_grid_by_keyboard(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        first = panel(page, 0, 0)
        first.locator("input").first.focus()
        page.keyboard.press("ArrowRight")
        expect(first.locator(".transcript").nth(0)).to_be_visible()
        page.keyboard.press("ArrowRight")
        expect(first.locator(".transcript").nth(1)).to_be_visible()
        expect(first.locator(".transcript").nth(0)).to_be_hidden()
        page.keyboard.press("ArrowLeft")
        expect(first.locator(".transcript").nth(0)).to_be_visible()
        outline = first.locator("label.cell").first.evaluate(
            "e => getComputedStyle(e).outlineStyle"
        )
        assert outline == "solid"
        page.keyboard.press("Tab")  # to the steps, which may have to be scrolled
        assert page.evaluate("document.activeElement.className") == "sideways"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == second_name(page)

    def second_name(page: Page) -> str | None:
        return panel(page, 0, 1).locator("input").first.get_attribute("name")

    assert chromium.do(chromium.use, report, WIDE, act).messages == []


def test_the_step_through_by_mouse(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        first, other = page.locator(".step-through").nth(0), page.locator(".step-through").nth(1)
        expect(shown(first, ".place")).to_have_text("Before the first step")
        for number in range(1, 6):
            shown(first, "label.next").click()
            expect(shown(first, ".place")).to_have_text(f"Step {number} of 5")
        expect(shown(first, ".box.failed")).to_have_count(2)  # the box, and the legend's
        shown(first, "label.next").click()
        expect(shown(first, ".place")).to_have_text("The verdict")
        expect(shown(first, ".said")).to_contain_text("refused with stock")
        expect(shown(first, "label.next")).to_have_count(0)
        shown(first, "label.previous").click()
        expect(shown(first, ".place")).to_have_text("Step 5 of 5")
        first.locator("label.at").nth(4).click()
        expect(shown(first, ".sentences")).to_contain_text("has to wait for A")
        expect(shown(first, ".column .box.waits")).to_have_count(1)
        expect(shown(other, ".place")).to_have_text("Before the first step")

    seen = chromium.do(chromium.use, report, NARROW, act)
    assert seen.messages == []
    assert seen.outside == []
    assert seen.overflow_px <= 0


def test_the_step_through_by_keyboard(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        first = page.locator(".step-through").nth(0)
        first.locator("input").first.focus()
        for key, place in (
            ("ArrowRight", "Step 1 of 5"),
            ("ArrowRight", "Step 2 of 5"),
            ("ArrowLeft", "Step 1 of 5"),
            ("ArrowLeft", "Before the first step"),
        ):
            page.keyboard.press(key)
            expect(shown(first, ".place")).to_have_text(place)

    assert chromium.do(chromium.use, report, WIDE, act).messages == []


def test_a_click_on_next_leaves_the_page_where_it_is(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        first = page.locator(".step-through").nth(0)
        shown(first, "label.next").scroll_into_view_if_needed()
        before = shown(first, "label.next").bounding_box()
        shown(first, "label.next").click()
        after = shown(first, "label.next").bounding_box()
        assert before == after

    chromium.do(chromium.use, report, WIDE, act)


def test_hostile_words_are_words(report: Path, chromium: Chromium) -> None:
    def act(page: Page) -> None:
        third = panel(page, 2, 0)
        expect(third.locator("legend b").first).to_have_text(sample_runs.HOSTILE)
        third.locator("label.cell").click()
        expect(shown(third, ".transcript")).to_contain_text(sample_runs.HOSTILE)

    seen = chromium.do(chromium.use, report, WIDE, act)
    assert seen.messages == []
    assert seen.overflow_px <= 0
