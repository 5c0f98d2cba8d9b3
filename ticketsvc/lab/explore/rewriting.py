"""Add `FOR UPDATE` to reads, as a try: the client's code does not change, its SQL does."""

import re
from collections.abc import Callable

from ticketsvc.lab.wire.statements import kind_of, parts, without_comments

LOCKS = re.compile(r"\bfor\s+(no\s+key\s+)?(update|share|key\s+share)\b", re.IGNORECASE)
"""What a SELECT that locks the rows that it reads says."""

_SELECT = re.compile(r"select\b", re.IGNORECASE)


def locking_reads(relations: frozenset[str]) -> Callable[[str], str]:
    """Return the function that adds `FOR UPDATE` to each SELECT from one of *relations*.

    *relations* are named `schema.table`. What PostgreSQL then refuses (aggregates, DISTINCT,
    UNION) fails as it would if the programmer had written it.
    """
    names = "|".join(re.escape(name.rpartition(".")[2]) for name in sorted(relations))
    reads = re.compile(rf"\b(from|join)\s+(only\s+)?[\w.\"]*?\"?({names})\"?\b", re.IGNORECASE)

    def rewrite(text: str) -> str:
        bare = without_comments(text)
        if (
            kind_of(text) == "statement"
            and len(parts(text)) == 1
            and _SELECT.match(bare)
            and reads.search(bare)
            and not LOCKS.search(bare)
        ):
            return text.rstrip().rstrip(";") + " FOR UPDATE"
        return text

    return rewrite
