"""The titles of the throughput charts state what their tables hold."""

import pandas as pd
from matplotlib.figure import Figure

from ticketsvc.lab import charts


def titles(figure: Figure) -> list[str]:
    """Return the titles; every panel has labels, too."""
    assert all(one.get_xlabel() and one.get_ylabel() for one in figure.axes)
    return [" ".join(one.get_title(loc="left").split()) for one in figure.axes]


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
