"""What a report is made of: a notebook's parameters, how its run ended, its headline charts
and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

State = Literal["holds", "failed", "no verdict"]


@dataclass(frozen=True)
class Parameter:
    """What a notebook declares that a run may change; *default* is Python source."""

    name: str
    default: str
    help: str


@dataclass(frozen=True)
class Failure:
    """Where a notebook stopped, and why: *cell* names the place, *anchor* leads to it."""

    cell: str
    anchor: str
    message: str


@dataclass(frozen=True)
class Answer:
    """The answer to a question of the index, in Markdown; *anchor* leads to its evidence."""

    question: str
    sentence: str
    anchor: str


@dataclass(frozen=True)
class NotebookResult:
    """What the run of one notebook came to; times are seconds and ISO 8601 in UTC.

    *charts*: the headline charts, as SVG elements.
    """

    name: str
    title: str
    duration_s: float
    finished_at: str
    parameters: Mapping[str, Any]
    verdict: Mapping[str, Any] | None
    failure: Failure | None
    charts: Sequence[str]
    answers: Sequence[Answer] = ()

    @property
    def state(self) -> State:
        """A notebook that gives no verdict does not count as one that holds."""
        if self.failure is not None:
            return "failed"
        if self.verdict is None:
            return "no verdict"
        return "holds" if self.verdict["holds"] else "failed"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.verdict is not None:
            return str(self.verdict["sentence"])
        return "It stopped before its verdict." if self.failure else "It gives no verdict."

    @property
    def claims(self) -> tuple[int, int]:
        """How many of the verdict's claims hold, of how many."""
        claims = self.verdict["claims"] if self.verdict else ()
        return sum(bool(claim["holds"]) for claim in claims), len(claims)

    @property
    def took(self) -> str:
        """The duration, for people."""
        return in_words(self.duration_s) if self.duration_s >= 60 else f"{self.duration_s:.1f} s"

    @property
    def finished(self) -> str:
        """When it was finished, for people."""
        return f"{datetime.fromisoformat(self.finished_at):%Y-%m-%d %H:%M} UTC"


RECORD = TypeAdapter(NotebookResult)
"""Writes a result as JSON, and reads it again."""


def in_words(duration_s: float) -> str:
    """Return a duration as people write it: 45 s, 2 min 5 s."""
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
