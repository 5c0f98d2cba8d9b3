"""Charts: pure functions whose titles state what the data say."""

from itertools import pairwise

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure

from tests.support.contrast import contrast
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.lab import charts
from ticketsvc.lab.charts import style as charting
from ticketsvc.lab.charts.svg import as_svg, describe


def title(figure: Figure) -> str:
    return " ".join(figure.axes[0].get_title(loc="left").split())


def labelled(figure: Figure) -> bool:
    return all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)


@pytest.mark.parametrize("paper", ["#FFFFFF", "#10161D"])
def test_every_allocator_has_a_colour_of_its_own_that_stands_out(paper: str) -> None:
    known = [charting.COLOURS[name] for name in ALLOCATORS]
    assert len({*known, charting.COLOURS["of next year"]}) == len(known) + 1
    for colour in (*known, *charting.LINE_COLOURS):
        assert contrast(colour, paper) >= 3, colour


@pytest.mark.parametrize(
    ("numbers", "says"),
    [([1, 2, 3], "each number once"), ([1, 1, 1, 2], "a number up to 3 times")],
)
def test_copies_of_numbers(numbers: list[int], says: str) -> None:
    figure = charts.copies_of_numbers(numbers, 8, "naive")
    assert title(figure) == f"naive: {len(numbers)} tickets issued of 8, {says}"
    assert labelled(figure)


def bursts(duplicates: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "purchases": 30,
            "quantity": 8,
            "total": 8,
            "unique": 8,
            "duplicates": duplicates,
            "tickets": [8 + copies for copies in duplicates],
        }
    )


def test_issued_against_total_counts_only_kinds_damaged_throughout() -> None:
    assert title(charts.issued_against_total(bursts([232, 232]))).startswith("1 of 1 kinds")
    assert title(charts.issued_against_total(bursts([232, 0]))).startswith("0 of 1 kinds")


def test_before_and_after_names_the_copies() -> None:
    rows = bursts([232, 0, 0]).assign(
        allocator=["naive", "range", "naive"], schema=["original", "fixed", "fixed"]
    )
    figure = charts.before_and_after(rows)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["240 issued, 232 of them copies", "8 issued", "8 issued"]
    assert title(figure).startswith("1 of 3 oversell")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["naive on original", "range", "naive on fixed"]


@pytest.mark.parametrize(
    ("second", "says"), [([1, 2], "2 by naive"), ([3, 4], "none")], ids=["twice", "once"]
)
def test_who_sold_what_counts_the_numbers_that_two_processes_sold(
    second: list[int], says: str
) -> None:
    sales = pd.DataFrame({"allocator": "naive", "process": [1, 1, 2, 2], "number": [1, 2, *second]})
    figure = charts.who_sold_what(sales, 8)
    assert title(figure) == f"Numbers that more than one process sold: {says}"
    assert labelled(figure)


def probabilities(**columns: list[float]) -> pd.DataFrame:
    rows = pd.DataFrame(columns)
    share = rows["damaged"] / 10
    return rows.assign(repetitions=10, probability=share, low=share, high=share)


def test_damage_by_purchases_tells_the_worst_number_of_connections() -> None:
    rows = probabilities(pool_size=[1, 1, 9, 9], purchases=[1, 5, 1, 5], damaged=[0, 8, 1, 10])
    figure = charts.damage_by_purchases(rows, 40)
    assert title(figure) == (
        "1 purchase: 1 bursts damaged. 5, with any number of connections: "
        "80% of bursts are damaged, or more"
    )
    assert labelled(figure)


def test_damage_by_purchases_draws_every_number_of_connections() -> None:
    sizes = range(1, 7)
    rows = probabilities(pool_size=[*sizes], purchases=[5] * 6, damaged=[10] * 6)
    [legend] = charts.damage_by_purchases(rows, 40).legends
    assert len(legend.get_texts()) == len(sizes)


def test_timeline_counts_early_and_stale_reads() -> None:
    steps = pd.DataFrame(
        {
            "purchase": [1, 2, 1, 2, 3],
            "step": ["read_pool", "read_pool", "decrement", "decrement", "read_pool"],
            "began_ms": [0.0, 1.0, 2.0, 3.0, 5.0],
            "ended_ms": [0.5, 1.5, 2.5, 3.5, 5.5],
            "stale_by": pd.array([None, None, 0, 1, None], dtype="Int64"),
        }
    )
    assert title(charts.timeline(steps)) == (
        "2 of 3 purchases had read the stock before the first subtracted: 1 stale reads"
    )


def test_write_volume_charts_are_labelled() -> None:
    volumes = pd.DataFrame(
        {
            "allocator": ["range", "range", "ticket_rows", "ticket_rows"],
            "stores": ["ranges", "ranges", "rows", "rows"],
            "quantity": [8, 128, 8, 128],
            "purchases": 100,
            "wal_bytes": [340.0, 340.0, 1000.0, 16000.0],
            "wal_bytes_per_ticket": [42.5, 2.7, 125.0, 125.0],
        }
    )
    wal = charts.wal_by_quantity(volumes)
    assert title(wal) == (
        "128 tickets write at most 1.0 times what 8 do as ranges, 16.0 times as rows"
    )
    assert labelled(wal)


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    _, [axes] = charting.new_chart()
    axes.set_ylim(0, 1)
    charting.label_ends(axes, [(name, 0.97) for name in ALLOCATORS])
    heights = sorted(text.xyann[1] for text in axes.texts)
    assert min(above - below for below, above in pairwise(heights)) >= 0.07
    assert heights[-1] <= 1


def test_a_chart_has_the_ink_of_its_page_and_says_what_it_shows() -> None:
    figure = charts.copies_of_numbers([1, 1], 8, '"<naive>"')
    svg = as_svg(figure)
    root = BeautifulSoup(svg, "html.parser").svg
    assert root is not None
    words = (
        'Chart: "<naive>": 2 tickets issued of 8, each number 2 times. '
        "Axes: ticket number; times issued."
    )
    assert (root["role"], root["aria-label"]) == ("img", words)
    assert "#000000" not in svg
    assert "currentColor" in svg


def test_the_description_of_a_chart_has_its_legend() -> None:
    pools = pd.DataFrame({"event": ["E"], "total": [8], "available": [2]})
    words = describe(charts.stock(pools))
    assert words.endswith("Axes: tickets; event. Legend: sold; available.")
