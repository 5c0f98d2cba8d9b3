"""A step as the search for a cause sees it: what it read and changed, by the words of its SQL.

Pure. The words are matched, not parsed: where they do not tell, nothing is claimed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ticketsvc.lab.explore.effects import ANYTHING, Relations
from ticketsvc.lab.explore.rewriting import LOCKS

_INSERT = re.compile(r"\binsert\s+into\b", re.IGNORECASE)
_UPDATE = re.compile(r"(?:^|\()\s*(update|delete)\b", re.IGNORECASE)
_SET = re.compile(r"\bset\s+(.*?)(?:\bwhere\b|\breturning\b|$)", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"\"?(\w+)\"?\s*=\s*([^,]+)")
_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+\b")
_PARAMETER = re.compile(r"\$(\d+)")
_EQUALS = re.compile(r"\"?(\w+)\"?\s*=\s*('(?:[^']|'')*'|\d+\b|\$\d+)")
_READS = r"(?<!delete )\b(?:from|join|using)\s+(?:only\s+)?(?:\"?\w+\"?\.)?\"?{}\b"


@dataclass(frozen=True)
class Act:
    """One step as the search for a cause sees it.

    *place*: which step, from 0. *name*: of its client. *committed*: the place of the step that made
    its changes visible; None: they were rolled back. *snapshot*: the place of the step that fixed
    what it sees, where that is an earlier one of its transaction. *row*: the first row it returned,
    *rows*: how many it returned or changed. *waited_for*: clients whose lock it waited for.
    """

    place: int
    client: int
    name: str
    text: str
    values: tuple[str | None, ...]
    reads: Relations
    changes: Relations
    committed: int | None
    row: Mapping[str, object] | None = None
    rows: int = -1
    waited_for: tuple[int, ...] = ()
    snapshot: int | None = None

    @property
    def seen(self) -> int:
        """The place up to which it sees what others committed."""
        return self.place if self.snapshot is None else self.snapshot

    @property
    def visible(self) -> int:
        """The place of the step that made its changes visible."""
        return self.place if self.committed is None else self.committed

    @property
    def took_effect(self) -> bool:
        """Whether it changed rows, and that was committed."""
        return bool(self.changes) and self.committed is not None and self.rows != 0

    @property
    def inserts(self) -> bool:
        """Whether it puts in new rows."""
        return bool(_INSERT.search(self.text))

    @property
    def updates(self) -> bool:
        """Whether it changes or deletes rows."""
        return bool(_UPDATE.search(self.text))

    @property
    def assignments(self) -> list[tuple[str, str]]:
        """What an UPDATE sets: columns and values, with those that are bound."""
        found = _SET.search(self.text)
        pairs = _ASSIGNMENT.findall(found[1]) if found else []
        return [(column, self._bound(value)) for column, value in pairs]

    @property
    def columns_set(self) -> list[str]:
        """The columns that an UPDATE sets."""
        return [column for column, _ in self.assignments]

    @property
    def condition(self) -> str:
        """What comes after WHERE, with the values that are bound in it."""
        return self._bound(self._where)

    @property
    def asks_nothing(self) -> bool:
        """Whether it is an UPDATE whose condition names no column that it sets."""
        columns = self.columns_set if self.updates else []
        return bool(columns) and not any(
            re.search(rf"\b{column}\b", self.condition, re.IGNORECASE) for column in columns
        )

    def sees(self, relation: str) -> bool:
        """Tell whether it looks at *relation*, beyond the rows that it changes itself.

        An UPDATE that waited for a row goes by what the row is then, not by its snapshot.
        """
        if relation not in self.reads or relation == ANYTHING:
            return False
        name = re.escape(table_of(relation))
        return relation not in self.changes or bool(re.search(_READS.format(name), self.words))

    def waited_and_saw(self, change: "Act") -> bool:
        """Tell whether a locking read waited for *change*, and so returned the row as changed."""
        waited = change.client in self.waited_for
        return bool(waited and LOCKS.search(self.text) and not change.inserts)

    def disjoint(self, other: "Act") -> bool:
        """Tell whether the conditions ask for different values of the same column."""
        ours, theirs = (dict(act.asked()) for act in (self, other))
        return any(ours[column] != theirs[column] for column in ours.keys() & theirs.keys())

    def same_rows(self, other: "Act") -> bool:
        """Tell whether both are the same statement on rows that are named the same way."""
        one, two = (_LITERAL.sub("?", act.words) for act in (self, other))
        return one == two and self.condition == other.condition and "select" not in self.condition

    @property
    def words(self) -> str:
        """Its SQL in lower case, on one line."""
        return " ".join(self.text.split()).lower()

    @property
    def _where(self) -> str:
        return self.words.partition(" where ")[2]

    def asked(self) -> Iterator[tuple[tuple[str, bool], str | None]]:
        """Yield the column, whether its value is bound, and the value, for each `column = value`.

        A bound value may be in binary, so it is compared with bound values alone.
        """
        for column, value in _EQUALS.findall(self._where):
            bound = value.startswith("$")
            yield (column, bound), self._value(int(value[1:])) if bound else value

    def _bound(self, text: str) -> str:
        return _PARAMETER.sub(lambda found: str(self._value(int(found[1]))), text)

    def _value(self, number: int) -> str | None:
        return self.values[number - 1] if number <= len(self.values) else None


def table_of(relation: str) -> str:
    """Return a relation's name without its schema."""
    return relation.rpartition(".")[2]
