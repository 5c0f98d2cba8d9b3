"""The titles of the throughput charts state what their tables hold."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab import charts

NAMES = ["ticket_rows", "range", "group_commit"]


def titles(figure: Figure) -> list[str]:
    """Return the titles; every panel has labels, too."""
    assert all(one.get_xlabel() and one.get_ylabel() for one in figure.axes)
    return [" ".join(one.get_title(loc="left").split()) for one in figure.axes]


def test_by_connections_compares_the_fastest_with_the_slowest() -> None:
    rates = pd.DataFrame(
        {
            "name": ["noop", *NAMES] * 2,
            "kind": ["noop", *["allocator"] * 3] * 2,
            "connections": [1] * 4 + [64] * 4,
            "goodput_per_s": [9.0, 1.0, 2.0, 2.0, 90.0, 1.0, 2.0, 70.0],
            "repetitions": 3,
            "sold": 10,
        }
    )
    [title] = titles(charts.by_connections(rates))
    assert title.startswith("At 64 connections group_commit sells 70 times what ticket_rows does")


def test_lock_hold_names_the_shortest_and_the_longest() -> None:
    predictions = pd.DataFrame(
        {
            "allocator": NAMES,
            "purchases_per_commit": [1, 1, 30],
            "trips_ms": [0.4, 0.0, 0.0],
            "work_ms": 0.2,
            "flush_ms": 0.5,
            "predicted_per_s": [900.0, 1400.0, 40000.0],
            "measured_per_s": [450.0, 1400.0, 10000.0],
        }
    )
    assert titles(charts.lock_hold(predictions))[0] == "A commit holds the row 0.7 to 1.1 ms"


def test_durability_says_what_was_resolved_and_what_is_at_risk() -> None:
    pairs = pd.DataFrame(
        {
            "name": ["range", "group_commit"] * 2,
            "durable": [True] * 2 + [False] * 2,
            "repetitions": 4,
            "goodput_min": [1.0, 2.0, 3.0, 2.0],
            "goodput_per_s": [1.0, 2.0, 4.0, 2.0],
            "goodput_max": [1.0, 3.0, 5.0, 3.0],
            "at_risk_purchases": [1.0, 9.0, 1000.0, 3000.0],
        }
    )
    effects = pd.Series({"range": "4.0 times as fast", "group_commit": "no difference resolved"})
    figure = charts.durability(pairs, effects)
    rates, risks = titles(figure)
    assert rates == "Not waiting for the flush makes a difference in 1 of 2"
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["4.0×", "no difference resolved"]
    assert "3,000" in risks
