"""Add `FOR UPDATE` to reads, as a try: the client's code does not change, its SQL does."""

import re
from collections.abc import Callable

from ticketsvc.lab.wire.statements import QUOTED, kind_of, parts, without_comments

LOCKS = re.compile(r"\bfor\s+(no\s+key\s+)?(update|share|key\s+share)\b", re.IGNORECASE)
"""What a SELECT that locks the rows that it reads says."""

LOCKING = " FOR UPDATE"
"""What is added to a read."""

_SELECT = re.compile(r"select\b", re.IGNORECASE)
_INNERMOST = re.compile(r"\(([^()]*)\)")
_AGGREGATES = (
    "count|sum|avg|min|max|every|bool_and|bool_or|bit_and|bit_or|array_agg|string_agg|"
    "jsonb?_agg|jsonb?_object_agg"
)
_REFUSES = {
    "DISTINCT": r"\bdistinct\b",
    "GROUP BY": r"\bgroup\s+by\b",
    "HAVING": r"\bhaving\b",
    "UNION": r"\b(union|intersect|except)\b",
    "a window function": r"\bover\b",
    "{}(…)": rf"\b({_AGGREGATES})\s*\{{",
}


def reads_of(relations: frozenset[str]) -> Callable[[str], bool]:
    """Return the function that tells whether a text is a SELECT from one of *relations*, unlocked.

    *relations* are named `schema.table`.
    """
    names = "|".join(re.escape(name.rpartition(".")[2]) for name in sorted(relations))
    reads = re.compile(rf"\b(from|join)\s+(only\s+)?[\w.\"]*?\"?({names})\"?\b", re.IGNORECASE)

    def is_read(text: str) -> bool:
        bare = without_comments(text)
        return bool(
            kind_of(text) == "statement"
            and len(parts(text)) == 1
            and _SELECT.match(bare)
            and reads.search(bare)
            and not LOCKS.search(bare)
        )

    return is_read


def refuses_lock(text: str) -> str:
    """Return what in the SELECT *text* PostgreSQL does not allow FOR UPDATE with; "" for nothing.

    What stands in a subquery does not matter.
    """
    plain, before = QUOTED.sub("x", text), ""
    while plain != before:
        before = plain
        plain = _INNERMOST.sub(
            lambda found: " " if _SELECT.match(found[1].lstrip()) else f"{{{found[1]}}}", plain
        )
    for name, form in _REFUSES.items():
        if found := re.search(form, plain, re.IGNORECASE):
            return name.format(*found.groups())
    return ""


def locking_reads(relations: frozenset[str]) -> Callable[[str], str]:
    """Return the function that adds `FOR UPDATE` to each SELECT from *relations* that allows it."""
    is_read = reads_of(relations)

    def rewrite(text: str) -> str:
        if is_read(text) and not refuses_lock(text):
            return text.rstrip().rstrip(";") + LOCKING
        return text

    return rewrite
