"""The statement that the index prints is the one that the examples run."""

import re

import pytest

from ticketsvc.lab.story.the_fix import the_statement
from ticketsvc.settings import ROOT


def plain(text: str) -> str:
    """Return *text* in one line, without quotes, and with one word for every parameter."""
    return " ".join(re.sub(r":\w+|%\(\w+\)s|\$\d", "?", text).replace('"', "").split())


@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("aiohttp-psycopg/app.py", True),
        ("node-express/server.js", True),
        ("flask-psycopg/app.py", False),  # the negative control: it reads FOR UPDATE
    ],
)
def test_an_example_runs_the_printed_statement(file: str, same: bool) -> None:
    text = (ROOT / "examples" / file).read_text(encoding="utf-8")
    assert (plain(the_statement()) in plain(text)) == same
