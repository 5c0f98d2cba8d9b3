"""What a notebook displays: charts, code, sentences with computed numbers, and the verdict."""

import html
import inspect
import textwrap
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from IPython.display import Code, Markdown, display
from matplotlib.figure import Figure

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SchemaName, ddl
from ticketsvc.database.statements import source

VERDICT_MIME = "application/vnd.ticketsvc.verdict+json"
CHART_METADATA = "ticketsvc"
_DOTS_PER_INCH = 144


@dataclass(frozen=True)
class Claim:
    """One sentence, and whether the run bore it out."""

    text: str
    holds: bool


def show(figure: Figure, alt: str, *, headline: bool = False) -> None:
    """Display *figure* as a PNG whose *alt* text says what is to be seen in it.

    *headline*: the report's index shows it too.
    """
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH, bbox_inches="tight")
    display(
        {"image/png": picture.getvalue(), "text/plain": alt},
        raw=True,
        metadata={"image/png": {"alt": alt}, CHART_METADATA: {"headline": headline}},
    )


def verdict(sentence: str, *claims: tuple[str, bool]) -> None:
    """Display the verdict, then assert it: a report cannot print a claim that is not true.

    *sentence* answers the notebook's question; *claims* are what it rests on. Raise
    `AssertionError` naming the claims that do not hold.
    """
    checked = [Claim(text, bool(holds)) for text, holds in claims]
    holds = all(claim.holds for claim in checked)
    data: dict[str, Any] = {
        "sentence": sentence if holds else "The run does not bear this notebook out.",
        "holds": holds,
        "claims": [{"text": claim.text, "holds": claim.holds} for claim in checked],
    }
    rows = "".join(
        f"<li>{'✔' if claim.holds else '✘'} {html.escape(claim.text)}</li>" for claim in checked
    )
    title = html.escape(data["sentence"])
    display(
        {
            VERDICT_MIME: data,
            "text/html": f"<div class='verdict'><strong>{title}</strong><ul>{rows}</ul></div>",
            "text/plain": f"{data['sentence']} ({sum(c.holds for c in checked)}/{len(checked)})",
        },
        raw=True,
    )
    broken = [claim.text for claim in checked if not claim.holds]
    assert holds, "not borne out: " + "; ".join(broken)  # noqa: S101 - asserting is the point


def show_allocator(name: str) -> None:
    """Display the allocator's method as it is in the package."""
    text = textwrap.dedent(inspect.getsource(ALLOCATORS[name].allocate))
    display(Code(text, language="python"))


def show_statements(file: str, *names: str) -> None:
    """Display named statements of `sql/statements/<file>.sql` as they are written."""
    blocks = source(file)
    text = "\n\n".join(f"-- name: {name}\n{blocks[name]}" for name in names or blocks)
    display(Code(text, language="postgresql"))


def show_schema(schema: SchemaName) -> None:
    """Display `sql/<schema>.sql` as it is written."""
    display(Code(ddl(schema), language="postgresql"))


def say(text: str) -> None:
    """Display a paragraph of Markdown whose numbers were computed."""
    display(Markdown(text))
