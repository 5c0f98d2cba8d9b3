"""What a notebook displays: charts, code, sentences with computed numbers, and the verdict."""

import html
import inspect
import re
import textwrap
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

from IPython.display import HTML, Code, Markdown, display
from matplotlib import rc_context
from matplotlib.figure import Figure

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SchemaName, ddl
from ticketsvc.database.statements import source
from ticketsvc.lab.charts.style import WIDTH
from ticketsvc.lab.figures import recorded
from ticketsvc.settings import ROOT

VERDICT_MIME = "application/vnd.ticketsvc.verdict+json"
ANSWER_MIME = "application/vnd.ticketsvc.answer+json"
CHART_METADATA = "ticketsvc"
QUESTIONS = (
    "Is it broken?",
    "Why?",
    "What fixes it?",
    "What does it cost?",
    "How do we know?",
)
"""What the first screen of the index answers, in this order."""
_DOTS_PER_INCH = 144
_LARGEST_SVG = 150_000
_MUTE = {"Date": None, "Creator": None, "Format": None, "Type": None}
_LONG_LINES = 100


@dataclass(frozen=True)
class Claim:
    """One sentence, and whether the run bore it out."""

    text: str
    holds: bool


def show(figure: Figure, alt: str, *, headline: bool = False) -> None:
    """Display *figure*; *alt* says what is to be seen in it. *headline*: the index shows it too.

    It is an SVG whose text and lines have the colour of the page around it, or, when that is
    large, a PNG.
    """
    picture = as_svg(figure, alt)
    mime, data = "image/svg+xml", picture
    if len(picture) > _LARGEST_SVG:
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, bbox_inches="tight")
        mime, data = "image/png", b64encode(buffer.getvalue()).decode()
    metadata = {mime: {"alt": alt}, CHART_METADATA: {"headline": headline}}
    display({mime: data, "text/plain": alt}, raw=True, metadata=metadata)


def as_svg(figure: Figure, alt: str) -> str:
    """Return *figure* as an SVG element to stand in a page or alone, described by *alt*.

    Alone, as JupyterLab shows it, it is dark on white. A style sheet can take both from it.
    """
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata=_MUTE)
    text = re.sub(
        r'<metadata>.*?</metadata>|<!--.*?-->| id="[\w.]+_\d+"', "", buffer.getvalue(), flags=re.S
    )
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans, sans-serif)", text)
    text = text.replace("#000000", "currentColor")
    kind = "chart wide" if figure.get_figwidth() > WIDTH else "chart"
    return text[text.index("<svg") :].replace(
        "<svg ",
        f'<svg class="{kind}" role="img" aria-label="{html.escape(alt)}" fill="currentColor" '
        'style="color: #1c2530; background: #fff" ',
        1,
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
        "figures": recorded(),
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
    """Display `sql/<schema>.sql` as it is written, folded when it is long."""
    text = ddl(schema)
    lines = text.count("\n")
    if lines <= _LONG_LINES:
        display(Code(text, language="postgresql"))
    else:
        summary = f"<summary>sql/{schema}.sql, {lines} lines</summary>"
        display(HTML(f"<details>{summary}<pre>{html.escape(text)}</pre></details>"))


def show_example(file: str, function: str) -> None:
    """Display a function of `examples/<file>` as it is written; the tests explore its schedules."""
    text = (ROOT / "examples" / file).read_text(encoding="utf-8")
    found = re.search(rf"^(async )?(def|function) {function}\(.*?(?=\n\n+\S)", text, re.M | re.S)
    if found is None:
        raise ValueError(f"examples/{file} has no function {function}")
    display(Code(found[0], language="python" if file.endswith(".py") else "javascript"))


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
