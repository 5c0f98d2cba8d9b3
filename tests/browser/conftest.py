"""Open pages in a real browser, and note what they do there."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as PlaywrightBrowser
from playwright.sync_api import Page, sync_playwright

from tests.support.programs import require_program
from tests.support.waiting import TIMEOUT_S

QUIET = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)
OPEN_ALL = """() => {
    document.querySelectorAll("details").forEach(one => one.open = true)
    document.querySelectorAll("input").forEach(one => one.checked = true)
}"""
RESET = """() => {
    document.querySelectorAll("details").forEach(one => one.open = false)
    document.querySelectorAll("input").forEach(one => one.checked = one.defaultChecked)
    scrollTo(0, 0)
}"""
LOOKS = {"light": 1280, "dark": 400}
"""The width at which axe looks at a page in each colour scheme: a desk by day, a phone by night."""
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


@dataclass
class Visit:
    """What one page did in a window of one width."""

    file: Path
    width: int
    title: str = ""
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    alts: list[str | None] = field(default_factory=list)
    """The description of each picture."""
    broken_pictures: int = 0
    links: list[str] = field(default_factory=list)
    """Where each link leads, made absolute."""
    overflow_px: int = 0
    texts: dict[str, list[str]] = field(default_factory=dict)
    """Per selector, the text of each visible match."""

    @property
    def outside(self) -> list[str]:
        """The requests to anything but the file itself."""
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]


@pytest.fixture(scope="session")
def program() -> str:
    """Return the browser. None: a skip on a laptop, a failure in CI."""
    return require_program("chromium", "google-chrome")


class Chromium:
    """One browser for all tests, in a thread where its loop does not stand in the way of theirs.

    One page shows every file in turn: a page of its own costs more than what is on it.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._thread = ThreadPoolExecutor(1)
        self._stack = ExitStack()
        self._seen = Visit(Path(), 0)

    def __enter__(self) -> Self:
        self.do(self._launch)
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._stack.close)
        self._thread.shutdown()

    def do(self, work: Callable[..., Any], *arguments: object, **options: object) -> Any:
        return self._thread.submit(work, *arguments, **options).result()

    def _launch(self) -> None:
        playwright = self._stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=self._program, args=list(QUIET))
        self._browser: PlaywrightBrowser = self._stack.enter_context(browser)
        page = self._page = self._browser.new_page()
        page.on("console", lambda message: self._seen.messages.append(message.text))
        page.on("pageerror", lambda error: self._seen.messages.append(str(error)))
        page.on("request", lambda request: self._seen.requests.append(request.url))
        # The policy of a page forbids scripts, and axe is one.
        self._without_policy = self._browser.new_context(bypass_csp=True).new_page()

    def _show(self, file: Path, width: int) -> Visit:
        self._seen = Visit(file, width)
        self._page.set_viewport_size({"width": width, "height": 900})
        self._page.goto(file.as_uri(), wait_until="load")
        return self._seen

    def use(self, file: Path, width: int, act: Callable[[Page], object]) -> Visit:
        if (self._seen.file, self._seen.width) == (file, width):
            self._page.evaluate(RESET)
        else:
            self._show(file, width)
        act(self._page)
        _observe(self._page, self._seen, ())
        return self._seen

    def audit(self, *files: Path, schemes: Sequence[str] = tuple(LOOKS)) -> list[str]:
        found, page = [], self._without_policy
        for file in files:
            page.goto(file.as_uri())
            page.evaluate(OPEN_ALL)
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size({"width": LOOKS[scheme], "height": 900})
                found += [
                    f"{file.name}, {scheme}: {one['id']} {node['target']}"
                    for one in Axe().run(page).response["violations"]
                    for node in one["nodes"]
                ]
        return found

    def open(self, url: str) -> Page:
        page = self._browser.new_page(viewport={"width": 1280, "height": 900})
        self._stack.callback(page.close)
        page.set_default_timeout(TIMEOUT_S * 1000)
        page.goto(url)
        return page

    def visit(
        self, files: Sequence[Path], widths: Sequence[int], selectors: Sequence[str]
    ) -> list[Visit]:
        return [
            _observe(self._page, self._show(file, width), selectors)
            for width in widths
            for file in files
        ]


@pytest.fixture(scope="session")
def chromium(program: str) -> Iterator[Chromium]:
    """Run the browser."""
    with Chromium(program) as running:
        yield running


def _observe(page: Page, visit: Visit, selectors: Sequence[str]) -> Visit:
    visit.title = page.title()
    pictures = page.locator("img")
    visit.alts = page.locator("img, svg").evaluate_all(
        "all => all.map(one => one.getAttribute(one.localName == 'img' ? 'alt' : 'aria-label'))"
    )
    visit.broken_pictures = pictures.evaluate_all(
        "all => all.filter(one => !one.naturalWidth).length"
    )
    visit.links = page.locator("a[href]").evaluate_all("all => all.map(one => one.href)")
    visit.overflow_px = page.evaluate(OVERFLOW)
    for selector in selectors:
        found = page.locator(selector).all()
        visit.texts[selector] = [one.inner_text() for one in found if one.is_visible()]
    return visit
