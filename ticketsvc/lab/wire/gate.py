"""What a client sends as one, what the server answers, and who decides when each goes on."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ticketsvc.lab.wire.frames import Bound, Message
from ticketsvc.lab.wire.statements import kind_of, without_comments

if TYPE_CHECKING:
    from ticketsvc.lab.wire.session import Session

_TAG_ROWS = re.compile(r"(\d+)$")
_RELATION = re.compile(r"\b(?:from|into|update|join|table)\s+(?:only\s+)?([\w.\"]+)", re.IGNORECASE)

IDLE, FAILED = b"I", b"E"
"""No transaction, and one that has failed, as a ReadyForQuery says it."""


@dataclass
class Answer:
    """What the server answered to one unit: the first row, tags or error."""

    columns: tuple[str, ...] = ()
    first_row: tuple[str | None, ...] | None = None
    tags: list[str] = field(default_factory=list)
    sqlstate: str | None = None
    message: str = ""

    @property
    def rows(self) -> int:
        """How many rows the last statement returned or changed; -1 where no tag says so."""
        found = _TAG_ROWS.search(self.tags[-1]) if self.tags else None
        return int(found[1]) if found else -1


@dataclass
class Unit:
    """What a client sent up to a Sync, or as one simple query: the server answers it as one.

    *texts*: its statements. *state*: of the transaction before it, I (none), T (in a block) or E
    (in a failed block). *bound*: what the Bind of the last statement says.
    """

    session: "Session"
    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    state: bytes
    executes: int
    bound: Bound = field(default_factory=Bound)
    answer: Answer = field(default_factory=Answer)

    @property
    def text(self) -> str:
        """The statements as one text."""
        return "; ".join(self.texts)

    @property
    def name(self) -> str:
        """A short name for a step: the first word of its SQL and the first relation in it."""
        bare = without_comments(self.texts[0]) if self.texts else "statement"
        word = bare.split(None, 1)[0].upper().rstrip(";") if bare.split() else "statement"
        if word == "WITH":
            return "WITH …"
        found = _RELATION.search(bare)
        more = f" (+{len(self.texts) - 1})" if len(self.texts) > 1 else ""
        return f"{word} {found[1]}{more}" if found else word + more

    @property
    def kinds(self) -> frozenset[str]:
        """What its statements are, as `statements.kind_of` has them."""
        return frozenset(map(kind_of, self.texts))

    @property
    def splittable(self) -> bool:
        """Whether its commit can be made a step of its own: it is one transaction by itself."""
        return self.state == IDLE and self.kinds == {"statement"} and not self.in_pieces

    @property
    def in_pieces(self) -> bool:
        """Whether the client asks for a part of the answer: the transaction goes on after it."""
        return self.messages[-1].kind == b"H"


class Gate:
    """Decides when a unit goes on, and when its answer does: this one at once."""

    def opened(self, session: "Session") -> None:
        """Take note of a client that has logged in."""

    def rewrite(self, text: str) -> str:
        """Return the SQL that goes to the server instead of *text*."""
        return text

    async def release(self, unit: Unit) -> bool:
        """Return when *unit* may go to the server; true: its commit is to be a step of its own."""
        return False

    async def release_commit(self, unit: Unit) -> None:
        """Return when the commit of a split *unit* may go; its answer is known."""

    async def release_answer(self, unit: Unit, state: bytes) -> None:
        """Return when the client may have the answer; *state*: of the transaction after it."""

    def closed(self, session: "Session") -> None:
        """Take note of a client that has gone."""
