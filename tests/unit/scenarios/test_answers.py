"""What is read from a service: the numbers of an answer, the reason it ended."""

import io
import subprocess
from typing import cast

import pytest

from ticketsvc.lab.scenarios.clients import numbers_in
from ticketsvc.lab.scenarios.service import RunningService


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ('{"a": {"b": [1, 2]}}', ("1", "2")),
        ('{"a": {"b": 7}}', ("7",)),
        ('{"a": {"b": true}}', None),  # a flag, not a number
        ('{"a": {"b": {}}}', None),
        ('{"a": 1}', None),
        ("sold out", None),
    ],
)
def test_numbers_are_read_at_a_path(answer: str, numbers: tuple[str, ...] | None) -> None:
    assert numbers_in(answer, "a.b") == numbers


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("Error: no config\n    at start\n\nNode.js v20.20.2\n", "Error: no config"),
        ("Traceback\nKeyError: 'HOW'\n", "KeyError: 'HOW'"),
        ("starting\nno licence found\n", "no licence found"),
        ("", "it said nothing"),
    ],
)
def test_the_last_words_are_the_error(output: str, reason: str) -> None:
    process = cast("subprocess.Popen[bytes]", None)  # is not asked
    assert RunningService("", process, io.BytesIO(output.encode())).last_words() == reason


def test_the_last_words_show_no_password() -> None:
    said = b"Error: no route to postgresql://shop:p%40ss@127.0.0.1:5432/shop (p@ss)"
    process = cast("subprocess.Popen[bytes]", None)  # is not asked
    last = RunningService("", process, io.BytesIO(said), "p@ss").last_words()
    assert last == "Error: no route to postgresql://shop:***@127.0.0.1:5432/shop (***)"
