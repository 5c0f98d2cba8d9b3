"""The markup of a page, completed: sections with links, tables that fold and scroll, no request."""

import re
from collections.abc import Iterable

from bs4 import BeautifulSoup, Tag

_LONG_TABLE_ROWS = 15
_NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?\s*%?|nan|inf|—|-", re.IGNORECASE)


def complete(page: str) -> str:
    """Return *page* with what a reader needs to move in it, and nothing that asks or runs."""
    soup = BeautifulSoup(page, "html.parser")
    _keep_to_itself(soup)
    _style_once(soup)
    for element in soup.select(".jp-Cell-inputWrapper, .jp-OutputArea-output"):
        del element["tabindex"]  # nothing in it scrolls, except what gets its own below
    _link_sections(soup)
    _point_to_code(soup)
    _lay_out_tables(soup)
    for number, chart in enumerate(soup.select("svg.wide"), start=1):
        _scroll(soup, chart, f"Wide chart {number}")
    return str(soup)


def _keep_to_itself(soup: BeautifulSoup) -> None:
    """Take out whatever an output brought along that would run or ask for something."""
    for element in soup.select("script, iframe, object, embed, link, base, audio, video"):
        if not str(element.get("href", "")).startswith("data:"):
            element.decompose()
    for picture in soup.select("img"):
        del picture["srcset"]
        if not str(picture.get("src", "")).startswith("data:"):
            words = picture.get("alt") or "no description"
            picture.replace_with(f"[picture not in this file: {words}]")
    for element in soup.find_all(True):
        for name in [name for name in element.attrs if name.lower().startswith("on")]:
            del element[name]


def _style_once(soup: BeautifulSoup) -> None:
    """Drop the style of pandas and of IPython's code for the page's own, and each second copy."""
    seen = set()
    for style in soup.select("main style"):
        text = style.get_text()
        if style.has_attr("scoped") or ".output_html" in text or text in seen:
            style.decompose()
        seen.add(text)
    for code in soup.select(".output_html"):
        code["class"] = "highlight"


def _link_sections(soup: BeautifulSoup) -> None:
    """Make an id of each heading's words, add a link to it, and list it in the contents."""
    taken = {str(element["id"]) for element in soup.select("[id]")}
    contents = soup.select_one("nav.contents")
    for heading in soup.select(".jp-RenderedMarkdown :is(h2, h3)"):
        words = heading.get_text(" ", strip=True)
        heading["id"] = name = _unused(re.sub(r"\W+", "-", words.lower()).strip("-"), taken)
        link = soup.new_tag("a", href=f"#{name}", string="#")
        link.attrs.update({"class": "anchor", "aria-label": f"Link to “{words}”"})
        heading.extend([" ", link])
        if contents and contents.ol:
            entry = soup.new_tag("li", attrs={"class": heading.name})
            entry.append(soup.new_tag("a", href=f"#{name}", string=words))
            contents.ol.append(entry)
    if contents and contents.ol and not contents.ol.contents:
        contents.decompose()


def _point_to_code(soup: BeautifulSoup) -> None:
    """Say where the names are that the section "Two things to try" speaks of."""
    if heading := soup.select_one("#two-things-to-try"):
        words = "“Show code” at the top shows these names."
        heading.insert_after(soup.new_tag("p", string=words))


def _unused(wanted: str, taken: set[str]) -> str:
    """Return *wanted*, or the first of wanted-2, wanted-3, … that is not *taken*, and take it."""
    name, number = wanted or "section", 1
    while name in taken:
        number += 1
        name = f"{wanted or 'section'}-{number}"
    taken.add(name)
    return name


def _lay_out_tables(soup: BeautifulSoup) -> None:
    """Let each table scroll in a region that the keyboard reaches; fold a long one."""
    tables = soup.select(":is(.jp-OutputArea-output, .jp-MarkdownOutput) table:not(.schedules *)")
    for number, table in enumerate(tables, start=1):
        _drop_row_numbers(table)
        _name_columns(table)
        _align_numbers(table)
        heading = table.find_previous(["h1", "h2", "h3"])
        words = heading.get_text(" ", strip=True).removesuffix(" #") if heading else ""
        region = _scroll(soup, table, f"Table {number}: {words}")
        rows = len(table.select("tbody tr"))
        if rows > _LONG_TABLE_ROWS and not table.find_parent("details"):
            fold = region.wrap(soup.new_tag("details", attrs={"class": "fold"}))
            fold.insert(0, soup.new_tag("summary", string=f"Table of {rows} rows"))


def _scroll(soup: BeautifulSoup, element: Tag, label: str) -> Tag:
    """Put *element* into a region that the keyboard reaches and can scroll; return that."""
    attributes = {"class": "scroll", "role": "region", "tabindex": "0", "aria-label": label}
    return element.wrap(soup.new_tag("div", attrs=attributes))


def _drop_row_numbers(table: Tag) -> None:
    """Drop the numbers from 0 that pandas gives to rows without a name."""
    numbers = [cell.get_text(strip=True) for cell in table.select("tbody th")]
    firsts = table.select("tr > th:first-child")
    unnamed = _blank(cell for cell in firsts if cell.find_parent("thead"))
    if unnamed and numbers == [str(n) for n in range(len(table.select("tbody tr")))]:
        for first in firsts:
            first.decompose()


def _name_columns(table: Tag) -> None:
    """Mark what each heading is for, put index names beside column names, leave none empty."""
    del table["border"]
    lines = [line.find_all("th") for line in table.select("thead tr")]
    if len(lines) == 2:
        names = [cell for cell in lines[1] if not _blank([cell])]
        if _blank(lines[0][: len(names)]) and names == lines[1][: len(names)]:
            for cell, name in zip(lines[0], names, strict=False):
                cell.string = name.get_text(strip=True)
            table.select("thead tr")[1].decompose()
    for cell in table.select("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"
        else:
            cell["scope"] = "col" if cell.find_parent("thead") else "row"
    for line in table.select("thead tr"):
        del line["style"]


def _blank(cells: Iterable[Tag]) -> bool:
    return not any(cell.get_text(strip=True) for cell in cells)


def _align_numbers(table: Tag) -> None:
    """Mark the number columns, for the style sheet to align."""
    rows = [row.find_all("td") for row in table.select("tbody tr")]
    width = max(map(len, rows), default=0)
    heads = [row.find_all(["th", "td"])[-width:] for row in table.select("thead tr") if width]
    for column in range(width):
        cells = [row[column] for row in rows if len(row) == width]
        if all(_NUMBER.fullmatch(cell.get_text(strip=True)) for cell in cells):
            for line in [*heads, *rows]:
                if len(line) == width:
                    line[column]["class"] = "number"
