"""The markup of a page, completed."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from ticketsvc.lab.report.markup import complete

CONTENTS = '<nav class="contents"><ol></ol></nav>'
TABLE = pd.DataFrame({"event": ["a", "b"], "total": [8, 16], "sold": [1, 2], "words": ["x", "y"]})


def output(*tables: pd.DataFrame) -> BeautifulSoup:
    """Return the completed markup of *tables* below a heading."""
    shown = "".join(table.to_html() for table in tables)
    return BeautifulSoup(
        complete(f'<div class="jp-OutputArea-output">{shown}</div>'), "html.parser"
    )


def test_sections_of_one_name_have_links_of_their_own() -> None:
    sections = '<div class="jp-RenderedMarkdown"><h2>What: this?</h2><h2>What: this?</h2></div>'
    page = BeautifulSoup(complete(CONTENTS + sections), "html.parser")
    assert [heading["id"] for heading in page.select("h2")] == ["what-this", "what-this-2"]
    assert [link["href"] for link in page.select("li a")] == ["#what-this", "#what-this-2"]


def test_a_page_without_sections_has_no_contents() -> None:
    assert "nav" not in complete(CONTENTS)


@pytest.mark.parametrize("index", [["event"], ["event", "total"]])
def test_the_names_of_an_index_stand_beside_those_of_the_columns(index: list[str]) -> None:
    heads = output(TABLE.set_index(index)).select("thead tr")
    assert [[cell.get_text() for cell in head.select("th")] for head in heads] == [[*TABLE.columns]]


def test_no_heading_is_empty_where_columns_have_a_name() -> None:
    pivoted = TABLE.pivot(index="event", columns="total", values="sold")
    assert all(cell.get_text(strip=True) for cell in output(pivoted).select("th"))


@pytest.mark.parametrize(
    ("index", "shown"),
    [([0, 1], 0), ([1, 2], 2), (["a", "b"], 2), (pd.RangeIndex(2, name="burst"), 2)],
)
def test_rows_without_a_name_have_no_number(index: object, shown: int) -> None:
    rows = output(TABLE.set_axis(index)).select("tr")
    assert sum(len(row.select("[scope=row]")) for row in rows) == shown
    assert {len(row.select("th, td")) for row in rows} == {len(TABLE.columns) + (shown > 0)}


def test_tables_can_be_told_apart_and_a_long_one_is_folded() -> None:
    page = output(TABLE, pd.concat([TABLE] * 8))
    labels = [region["aria-label"] for region in page.select(".scroll[tabindex]")]
    assert len(set(labels)) == 2
    assert [fold.get_text() for fold in page.select("details > summary")] == ["Table of 16 rows"]
