"""Charts of schedules: shares that add up, titles that state the finding."""

import pandas as pd

from ticketsvc.lab.charts.classes import classes_and_held_commits
from ticketsvc.lab.charts.schedules import matrix


def flat(text):
    return " ".join(text.split())


def table(*cases):
    rows = [
        {
            "mechanism": mechanism,
            "schema": "fixed",
            "safe": safe,
            "buyers": 2,
            "stock": stock,
            "complete": complete,
            "schedules": sum(kinds.values()),
            "classes": len(kinds),
            "kinds": kinds,
        }
        for mechanism, safe, stock, complete, kinds in cases
    ]
    return pd.DataFrame(rows)


CASES = table(
    ("naive_bulk", False, "one", True, {"clean": 2, "oversold, duplicate": 18}),
    ("naive_bulk", False, "all", True, {"clean": 2, "duplicate": 18}),
    ("repeatable_read", False, "all", True, {"clean": 2, "refused with stock": 48}),
    ("range", True, "one", True, {"clean": 4}),
    ("range", True, "all", False, {"clean": 1200}),
)


def bars(axes):
    """Return the widths of the bars by the place of their mechanism."""
    widths = {}
    for bar in axes.patches:
        if bar.get_width():
            place = round(bar.get_y() + bar.get_height() / 2)
            widths.setdefault(place, []).append(round(bar.get_width(), 3))
    return widths


def test_matrix_draws_the_share_of_each_outcome():
    figure = matrix(CASES)
    one, all_ = figure.axes
    assert one.get_title() == "2 buyers,\nstock for one"
    assert bars(one) == {0: [0.1, 0.9], 2: [1.0]}
    assert bars(all_) == {0: [0.1, 0.9], 1: [0.04, 0.96], 2: [1.0]}
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert one.get_ylabel()


def test_matrix_counts_what_is_not_clean_and_what_was_executed_per_allocator():
    labels = [label.get_text() for label in matrix(CASES).axes[0].get_yticklabels()]
    assert labels == [
        "naive_bulk · fixed\n36 of 40 (4 executed)",
        "repeatable_read · fixed\n48 of 50 (2 executed)",
        "range · fixed\n0 of ≥ 1,204 (2 executed)",
    ]


def test_matrix_states_the_finding_and_shows_only_what_occurs():
    figure = matrix(CASES)
    assert flat(figure.get_suptitle()) == (
        "Every schedule of each safe allocator is clean; of the others some are not: "
        "naive_bulk (duplicate, oversold), repeatable_read (refused with stock)"
    )
    assert [one.get_text() for one in figure.legends[0].get_texts()] == [
        "✓ clean",
        "R refused with stock",
        "D duplicate",
        "OD oversold, duplicate",
    ]


def test_matrix_names_a_safe_allocator_that_is_not():
    figure = matrix(table(("range", True, "one", True, {"clean": 3, "duplicate": 1})))
    assert (
        flat(figure.get_suptitle())
        == "Safe allocators with schedules that are not clean: range (duplicate)"
    )


def test_matrix_of_another_violation():
    kinds = {
        "clean": 3,
        "refused with stock": 1,
        "other violation": 1,
        "duplicate": 2,
        "oversold": 3,
    }
    figure = matrix(table(("unique_only", False, "one", True, kinds)))
    assert bars(figure.axes[0]) == {0: [0.3, 0.1, 0.1, 0.2, 0.3]}


def test_each_class_is_a_column_and_what_was_executed_is_marked():
    one, other = [(0, "read"), (1, "read")], [(1, "read"), (0, "read")]
    schedules = pd.DataFrame(
        {"class": 1, "steps": [one, other], "executed": [True, False], "clean": True}
    )
    [axes] = classes_and_held_commits(schedules).axes
    assert [text.get_text() for text in axes.texts].count("►") == 1
    title = flat(axes.get_title(loc="left"))
    assert title.startswith("2 schedules in 1 classes: the 1 marked ►")
    assert "2 schedules: clean" in [flat(text.get_text()) for text in axes.texts]
