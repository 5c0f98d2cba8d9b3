"""The report in a browser: it asks for nothing, says what it has to, and fits the window."""

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.conftest import Visit, Visitor
from tests.notebooks.samples import Ran
from ticketsvc.lab.report.facts import gather_facts
from ticketsvc.lab.report.index import write_index
from ticketsvc.lab.report.pages import POLICY

WIDTHS = (400, 1280)
BAND, VERDICT, ERROR, FACTS = "header .band", "section.verdict", ".error .message", "dl.facts dt"
CHANGED = ".celltag_injected-parameters"
Visits = dict[str, list[Visit]]
ALT = 'A line of "2" points, as it is'


@pytest.fixture(scope="module")
def visits(visit: Visitor, ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Visits:
    """Every page of the samples' report at every width, by the page's name."""
    folder = tmp_path_factory.mktemp("report") / "reports"
    shutil.copytree(ran.reports, folder)
    write_index(ran.results, folder, facts=gather_facts(None))
    files = sorted(folder.glob("*.html"))
    seen: dict[str, list[Visit]] = {file.stem: [] for file in files}
    for one in visit(files, WIDTHS, (BAND, VERDICT, ERROR, FACTS, CHANGED, "h1")):
        seen[one.file.stem].append(one)
    return seen


def test_no_page_asks_for_anything_or_says_anything_or_overflows(
    visits: Visits,
) -> None:
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


def test_a_page_is_titled_by_its_question_and_shows_its_verdict(
    visits: Visits,
) -> None:
    for one in visits["01-holds"]:
        assert one.title == "Does it hold?"
        assert one.texts["h1"] == ["Does it hold?"]
        assert one.alts == [ALT]
        [verdict] = one.texts[VERDICT]
        assert "Yes: it <holds>." in verdict
        assert "one is one" in verdict
        assert "2/2" in one.texts[BAND][0]
        assert "rows = 2" in one.texts[CHANGED][0]


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
            elif not parts.fragment:
                assert target.name == "index.html"
    assert linked == {"01-holds", "02-fails", "03-asks"}


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
    visit: Visitor,
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
    [seen] = visit([file], [400], [])
    assert seen.outside == [f"{address}/a.png"]
    assert seen.messages
    assert ("said" in seen.messages) == bool(reached)
    assert seen.alts == [None]
    assert seen.broken_pictures == 1
    assert seen.overflow_px > 1000
    assert asked == reached
