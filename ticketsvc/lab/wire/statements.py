"""What a client's statement is, by its first words: enough to know what to hold and what to split.

This is no parser. Where the words do not tell, the statement is held and not split.
"""

import re
from typing import Literal

Kind = Literal["begin", "end", "passes", "alone", "statement"]

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"[a-z_]+", re.IGNORECASE)
_ENDS = ("commit", "end", "rollback", "abort", "prepare transaction")
# They see no rows and take no locks that rivals could wait for.
_PASSES = ("set", "show", "reset", "discard", "deallocate", "savepoint", "release", "listen",
           "unlisten", "prepare", "close")  # fmt: skip
# They refuse to run in a transaction block, or end transactions themselves.
_ALONE = ("vacuum", "call", "do", "cluster", "checkpoint", "reindex", "copy")
_ALONE_IN_FULL = re.compile(
    r"(create|drop)\s+(database|tablespace|subscription)\b|alter\s+system\b|"
    r"(create|drop)\s+(unique\s+)?index\s+concurrently\b|refresh\s+.*\bconcurrently\b",
    re.IGNORECASE | re.DOTALL,
)
# Quoted text, in which a semicolon separates nothing.
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL)


def kind_of(text: str) -> Kind:
    """Return what *text* is.

    begin: starts a transaction block. end: ends one. passes: nothing that others could notice.
    alone: cannot run in a transaction block. statement: everything else.
    """
    bare = without_comments(text)
    found = _WORD.match(bare)
    word = found[0].lower() if found else ""
    if word == "begin" or re.match(r"start\s+transaction\b", bare, re.IGNORECASE):
        return "begin"
    if word == "rollback" and re.match(r"rollback\s+(\w+\s+)?to\b", bare, re.IGNORECASE):
        return "passes"
    if word in _ENDS or bare.lower().startswith("prepare transaction"):
        return "end"
    if word in _PASSES or not word:
        return "passes"
    if word in _ALONE or _ALONE_IN_FULL.match(bare):
        return "alone"
    return "statement"


def without_comments(text: str) -> str:
    """Return *text* without blanks and comments at its start."""
    found = _LEADING.match(text)
    return text[found.end() :] if found else text


def parts(text: str) -> list[str]:
    """Return the statements of a simple query; the server runs them as one transaction."""
    plain = _QUOTED.sub(lambda found: "x" * len(found[0]), text)
    cuts = [place for place, letter in enumerate(plain) if letter == ";"]
    pieces = [text[a + 1 : b] for a, b in zip([-1, *cuts], [*cuts, len(text)], strict=True)]
    return [piece.strip() for piece in pieces if without_comments(piece).strip()]
