"""What a notebook displays: charts, code, sentences with computed numbers, and the verdict."""

import html
import inspect
import re
import textwrap
from typing import Any

from IPython.display import HTML, Code, Markdown, display
from matplotlib.figure import Figure

from ticketsvc.database.schemas import SchemaName, ddl
from ticketsvc.database.statements import source
from ticketsvc.lab.charts.svg import as_svg, describe
from ticketsvc.lab.figures import recorded
from ticketsvc.lab.story import Claims
from ticketsvc.settings import ROOT

QUESTIONS = (
    "Is it broken?",
    "Why?",
    "What fixes it?",
    "What does it cost?",
    "How do we know?",
)
"""What the first screen of the index answers, in this order."""
VERDICT_MIME = "application/vnd.ticketsvc.verdict+json"
ANSWER_MIME = "application/vnd.ticketsvc.answer+json"
SVG_MIME = "image/svg+xml"
CHART_METADATA = "ticketsvc"
_LONG_LINES = 100


def show(figure: Figure, *, headline: bool = False) -> None:
    """Display *figure* as an SVG, with its description. *headline*: the index shows it too."""
    words = describe(figure)
    metadata = {SVG_MIME: {"alt": words}, CHART_METADATA: {"headline": headline}}
    display({SVG_MIME: as_svg(figure), "text/plain": words}, raw=True, metadata=metadata)


def verdict(sentence: str, claims: Claims, *, of_speed: Claims | None = None) -> None:
    """Display the verdict, then assert it: a report cannot print a claim that is not true.

    *sentence* answers the notebook's question; *claims* and *of_speed* are what it rests on. Those
    of speed hold on a machine that does nothing else. Raise `AssertionError` naming the claims that
    do not hold.
    """
    speed = of_speed or {}
    claims = claims | speed
    broken = [text for text, holds in claims.items() if not holds]
    said = "The run does not bear this notebook out." if broken else sentence
    data: dict[str, Any] = {
        "sentence": said,
        "holds": not broken,
        "claims": [
            {"text": text, "holds": bool(holds), "of_speed": text in speed}
            for text, holds in claims.items()
        ],
        "figures": recorded(),
    }
    rows = "".join(
        f"<li>{'✔' if holds else '✘'} {html.escape(text)}</li>" for text, holds in claims.items()
    )
    title = html.escape(said)
    display(
        {
            VERDICT_MIME: data,
            "text/html": f"<div class='verdict'><strong>{title}</strong><ul>{rows}</ul></div>",
            "text/plain": f"{said} ({len(claims) - len(broken)}/{len(claims)})",
        },
        raw=True,
    )
    assert not broken, "not borne out: " + "; ".join(broken)  # noqa: S101 - asserting is the point


def show_allocator(name: str) -> None:
    """Display the allocator's method as it is in the package."""
    # Here, so that a notebook without allocators runs while the file of one of them is broken.
    from ticketsvc.allocators import ALLOCATORS  # noqa: PLC0415

    text = textwrap.dedent(inspect.getsource(ALLOCATORS[name].allocate))
    display(Code(text, language="python"))


def show_statements(file: str, *names: str) -> None:
    """Display named statements of `sql/statements/<file>.sql` as they are written."""
    blocks = source(file)
    text = "\n\n".join(f"-- name: {name}\n{blocks[name]}" for name in names or blocks)
    display(Code(text, language="postgresql"))


def show_schema(schema: SchemaName) -> None:
    """Display `sql/<schema>.sql` as it is written, folded when it is long."""
    text = ddl(schema)
    lines = text.count("\n")
    if lines <= _LONG_LINES:
        display(Code(text, language="postgresql"))
    else:
        summary = f"<summary>sql/{schema}.sql, {lines} lines</summary>"
        display(HTML(f"<details>{summary}<pre>{html.escape(text)}</pre></details>"))


def show_example(file: str, *names: str) -> None:
    """Display these parts of `examples/<file>` as written; the tests explore its schedules."""
    text = (ROOT / "examples" / file).read_text(encoding="utf-8")
    parts = [_definition(text, name) for name in names]
    if None in parts:
        raise ValueError(f"examples/{file} does not define each of {', '.join(names)}")
    language = "python" if file.endswith(".py") else "javascript"
    display(Code("\n\n".join(filter(None, parts)), language=language))


def _definition(text: str, name: str) -> str | None:
    """Return the paragraph of *text* that defines a function or a constant; None: there is none."""
    start = rf"^(?:(?:async )?(?:def|function) {name}\(|{name} = )"
    found = re.search(rf"{start}.*?(?=\n\n+\S)", text, re.M | re.S)
    return found and found[0]


def say(text: str) -> None:
    """Display a paragraph of Markdown whose numbers were computed."""
    display(Markdown(text))


def answer(question: str, sentence: str) -> None:
    """Display the answer to one of `QUESTIONS`, in Markdown; the index shows it too, with a link.

    Raise `ValueError` when it is none of them.
    """
    if question not in QUESTIONS:
        raise ValueError(f"{question!r}: must be one of {', '.join(QUESTIONS)}")
    display(
        {
            ANSWER_MIME: {"question": question, "sentence": sentence},
            "text/markdown": f"**{question}** {sentence}",
            "text/plain": sentence,
        },
        raw=True,
    )
