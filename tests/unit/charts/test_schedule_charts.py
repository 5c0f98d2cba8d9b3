"""Charts of schedules: shares that add up, titles that state what the data say."""

import pandas as pd
import pytest

from ticketsvc.lab.charts.schedules import bad_fraction_against_measured, matrix

COUNTS = ("schedules", "clean", "turned_away", "duplicate", "oversold")


def table(*cases):
    rows = [
        {
            "mechanism": mechanism,
            "schema": "fixed",
            "safe": safe,
            "buyers": 2,
            "stock": stock,
            "complete": complete,
            **dict(zip(COUNTS, counts, strict=True)),
        }
        for mechanism, safe, stock, complete, counts in cases
    ]
    return pd.DataFrame(rows)


CASES = table(
    ("naive_bulk", False, "one", True, (20, 2, 0, 18, 18)),
    ("naive_bulk", False, "all", True, (20, 2, 0, 18, 0)),
    ("repeatable_read", False, "all", True, (50, 50, 48, 0, 0)),
    ("range", True, "one", True, (4, 4, 0, 0, 0)),
    ("range", True, "all", False, (1200, 1200, 0, 0, 0)),
)


def bars(axes):
    """Return the widths of the bars by the place of their mechanism."""
    widths = {}
    for bar in axes.patches:
        if bar.get_width():
            place = round(bar.get_y() + bar.get_height() / 2)
            widths.setdefault(place, []).append(round(bar.get_width(), 3))
    return widths


def test_matrix_draws_what_share_ends_how():
    figure = matrix(CASES)
    one, all_ = figure.axes
    assert one.get_title() == "2 buyers,\nstock for one"
    assert bars(one) == {0: [0.1, 0.9], 2: [1.0]}
    assert bars(all_) == {0: [0.1, 0.9], 1: [0.04, 0.96], 2: [1.0]}
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert one.get_ylabel()


def test_matrix_writes_how_many_schedules_there_are_and_how_most_end():
    one, all_ = matrix(CASES).axes
    assert [words.get_text() for words in one.texts] == ["O 20", "✓ 4"]
    assert [words.get_text() for words in all_.texts] == ["D 20", "T 50", "✓ ≥ 1,200"]


def test_matrix_says_how_many_break_it_and_shows_only_what_occurs():
    figure = matrix(CASES)
    assert figure.get_suptitle() == (
        "Schedules that break the invariant: right mechanisms, 0 of 1,204; the others, 36 of 90"
    )
    assert [one.get_text() for one in figure.legends[0].get_texts()] == [
        "✓ clean",
        "T turned away",
        "D duplicate",
        "O oversold",
    ]


def test_matrix_of_another_violation():
    figure = matrix(table(("unique_only", False, "one", True, (10, 4, 1, 2, 3))))
    assert bars(figure.axes[0]) == {0: [0.3, 0.1, 0.1, 0.2, 0.3]}


@pytest.mark.parametrize(
    ("measured", "says"),
    [
        ([0.2, 0.6], "3 purchases: 99.6% of schedules do damage; 20% to 60% of bursts did it"),
        ([1.0, 1.0], "3 purchases: 99.6% of schedules do damage; 100% of bursts did it"),
    ],
)
def test_bad_schedules_stand_beside_measured_damage(measured, says):
    bad = pd.DataFrame({"buyers": [2, 3], "schedules": [20, 1680], "fraction": [0.9, 1674 / 1680]})
    bursts = pd.DataFrame(
        {
            "pool_size": [1, 1, 10, 10],
            "purchases": [2, 3, 2, 3],
            "repetitions": 10,
            "probability": [0.0, measured[0], 0.1, measured[1]],
            "low": 0.0,
            "high": 1.0,
        }
    )
    figure = bad_fraction_against_measured(bad, bursts)
    [axes] = figure.axes
    assert axes.get_title(loc="left") == says
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert {"20 schedules", "1,680 schedules"} == {words.get_text() for words in axes.texts}
    labels = [words.get_text() for words in axes.get_legend().get_texts()]
    assert "measured, pool of 10: 10 bursts each" in labels
    assert len(labels) == 3
