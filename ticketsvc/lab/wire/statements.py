"""What a client's statement is, by its first words: enough to know what to hold and what to split.

This is no parser. Where the words do not tell, the statement is held and not split.
"""

import re
from typing import Literal

Kind = Literal["begin", "end", "passes", "back", "alone", "statement"]

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)+", re.DOTALL)
# The first that fits says what it is.
_KINDS: tuple[tuple[Kind, str], ...] = (
    ("begin", r"begin\b|start\s+transaction\b"),
    ("back", r"rollback\s+(\w+\s+)?to\b"),
    ("alone", r"(commit|rollback)\s+prepared\b"),
    ("end", r"(commit|end|rollback|abort)\b|prepare\s+transaction\b"),
    ("statement", r"set\s+constraints\b"),  # it may check now what would be checked at the end
    # They see no rows, take no locks that rivals could wait for, and give none back.
    (
        "passes",
        r"(set|show|reset|deallocate|savepoint|release|listen|unlisten|prepare|close)\b|;?\s*$",
    ),
    # They refuse to run in a transaction block, or their client acts before they have ended.
    (
        "alone",
        r"(vacuum|discard|cluster|checkpoint|reindex|copy)\b|alter\s+system\b|"
        r"(create|drop)\s+(database|tablespace|subscription)\b|refresh\s+.*\bconcurrently\b|"
        r"(create|drop)\s+(unique\s+)?index\s+concurrently\b",
    ),
    ("statement", ""),
)
_PATTERNS = [(kind, re.compile(text, re.IGNORECASE | re.DOTALL)) for kind, text in _KINDS]
# Quoted text, in which a semicolon separates nothing.
QUOTED = re.compile(
    r"\be'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/",
    re.DOTALL | re.IGNORECASE,
)


def kind_of(text: str) -> Kind:
    """Return what *text* is.

    begin: starts a transaction block. end: ends one. passes: nothing that others could notice.
    back: undoes a part of one, and may give locks back. alone: cannot run in a transaction block.
    statement: everything else.
    """
    bare = without_comments(text)
    return next(kind for kind, pattern in _PATTERNS if pattern.match(bare))


def without_comments(text: str) -> str:
    """Return *text* without blanks and comments at its start."""
    found = _LEADING.match(text)
    return text[found.end() :] if found else text


def parts(text: str) -> list[str]:
    """Return the statements of a simple query; the server runs them as one transaction."""
    plain = QUOTED.sub(lambda found: "x" * len(found[0]), text)
    cuts = [place for place, letter in enumerate(plain) if letter == ";"]
    pieces = [text[a + 1 : b] for a, b in zip([-1, *cuts], [*cuts, len(text)], strict=True)]
    return [piece.strip() for piece in pieces if without_comments(piece).strip()]


def shortened(text: str, length: int = 80) -> str:
    """Return *text* in one line of at most *length* characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
