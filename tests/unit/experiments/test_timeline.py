"""A trace becomes steps, with what was stale when it was acted upon."""

import json
from pathlib import Path

import pytest

from ticketsvc.database.statements import load
from ticketsvc.lab.experiments.timeline import read_steps


def write_trace(folder: Path, steps: list[tuple[str, str, float, dict[str, object]]]) -> Path:
    statements = load("naive", "original")
    file = folder / "trace.jsonl"
    with file.open("w") as out:
        for purchase, step, ended, parameters in steps:
            record = {
                "purchase": purchase,
                "statement": statements[step].query.decode(),
                "parameters": parameters,
                "began_s": ended - 0.001,
                "ended_s": ended,
                "first": [8, 8] if step == "read_pool" else None,
            }
            out.write(json.dumps(record) + "\n")
    return file


OVERLAPPING = ["a", "b", "a", "b"]
SERIAL = ["a", "a", "b", "b"]


@pytest.mark.parametrize(("order", "stale"), [(OVERLAPPING, [0, 1]), (SERIAL, [0, 0])])
def test_a_read_is_stale_when_a_rival_subtracted_meanwhile(
    tmp_path: Path, order: list[str], stale: list[int]
) -> None:
    seen: set[str] = set()
    steps = []
    for place, purchase in enumerate(order):
        step = "decrement" if purchase in seen else "read_pool"
        seen.add(purchase)
        quantity: dict[str, object] = {"quantity": 8} if step == "decrement" else {}
        steps.append((purchase, step, 10.0 + place, quantity))
    table = read_steps(write_trace(tmp_path, steps))
    assert table[table["step"] == "decrement"]["stale_by"].tolist() == stale


def test_no_time_is_before_the_release_of_the_reads(tmp_path: Path) -> None:
    ended = [("a", 10.0), ("b", 11.0)]
    trace = write_trace(tmp_path, [(name, "read_pool", at, {}) for name, at in ended])
    table = read_steps(trace, since_s=10.5)
    assert table[["began_ms", "ended_ms"]].min().min() == 0
