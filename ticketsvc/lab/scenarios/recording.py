"""Read what the wire recorded of a burst: who sent what, and which reads were out of date. Pure.

A service's requests share its connections. So a statement that commits by itself belongs to no
known request: only what is true for any request is marked, see `statement_table`.
"""

import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import pandas as pd

from ticketsvc.lab.explore.wire_scheduler import WRITES
from ticketsvc.lab.scenarios.burst import RecordedStatement
from ticketsvc.lab.wire.statements import kind_of, parts

COLUMNS = ("connection", "kind", "text", "began_ms", "ended_ms", "mark")
STALE, OUTDATED = "stale", "outdated"

_TABLE = re.compile(r"\b(?:from|into|update|join)\s+(?:only\s+)?\"?([\w.]+)", re.IGNORECASE)
_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)
_LITERAL = re.compile(r"'((?:[^']|'')*)'|(?<![\w$])(\d+)\b")
_PARAMETER = re.compile(r"\$(\d+)")
_NEVER = float("inf")


@dataclass
class _Seen:
    """A recorded statement, and what can be said of it from its text and its connection.

    *owner*: a client or a transaction; None: any request may have sent it. *keys*: the values in
    it. *committed*: when its change became visible, at the earliest and at the latest.
    """

    told: RecordedStatement
    kind: str
    owner: Hashable | None
    tables: frozenset[str]
    keys: frozenset[str]
    committed: tuple[float, float] = (_NEVER, _NEVER)
    mark: str = ""

    def concerns(self, other: "_Seen") -> bool:
        """Tell whether both name the same table, and no values that keep their rows apart."""
        shared = not self.keys or not other.keys or self.keys & other.keys
        return bool(shared and self.tables & other.tables)


def statement_table(statements: Sequence[RecordedStatement]) -> pd.DataFrame:
    """Return the statements of a burst in the order they began, with `COLUMNS`.

    *kind*: read; change, of what a statement reads; other change; transaction (its begin or its
    end); or other. *mark*, of a read: "stale": another transaction committed a change of what it
    read before its own client or transaction wrote. "outdated": nobody can tell which request sent
    it, but it is one of several reads that ended before a change, and the next change was made
    without another read: all of them but that of the first change's own request were out of date.
    """
    statements = sorted(statements, key=lambda one: one.began_s)
    seen = _see(statements)
    changes = [one for one in seen if one.kind == "change" and one.committed[0] != _NEVER]
    reads = [one for one in seen if one.kind == "read" and one.tables]
    for read in reads:
        if read.owner is not None and _stale(read, changes):
            read.mark = STALE
    for change in changes:
        if not any(change.concerns(read) for read in reads):
            change.kind = "other change"
    _mark_outdated([read for read in reads if read.owner is None], changes)
    connections: dict[int, str] = {}  # each named after its client, or else by a number
    for told in statements:
        connections.setdefault(told.pid, told.client or f"connection {len(connections) + 1}")
    rows = [
        (
            connections[one.told.pid],
            one.kind,
            one.told.text,
            (one.told.began_s - statements[0].began_s) * 1000,
            (one.told.ended_s - statements[0].began_s) * 1000,
            one.mark,
        )
        for one in seen
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def explanation(table: pd.DataFrame) -> str:
    """Say what the marks of `statement_table` mean, and what cannot be known."""
    if (table["mark"] == STALE).any():
        return (
            "A cross marks a *stale* read: another transaction changed what it had read, and "
            "committed, before the reader wrote."
        )
    if (table["mark"] == OUTDATED).any():
        return (
            "The requests share connections, and each statement commits by itself, so nobody can "
            "tell which request sent which. A ring marks a read that had ended before a change of "
            "what it read. After that change all of these reads were out of date, except that of "
            "the request that made it. The next change was made without a new read."
        )
    return "No read is known to have been out of date when its reader wrote."


def _see(statements: Sequence[RecordedStatement]) -> list[_Seen]:
    """Return what each statement is; those of a transaction have it as their owner."""
    seen = []
    blocks: dict[int, list[_Seen]] = {}  # of each connection, the transaction that is open
    for told in statements:
        texts = parts(told.text)
        kinds = {kind_of(text) for text in texts}
        one = _Seen(told, _kind(told.text, kinds), told.client or None, _tables(told), _keys(told))
        seen.append(one)
        if "begin" in kinds:
            blocks[told.pid] = []
        block = blocks.get(told.pid)
        if block is None:
            if told.sqlstate is None:
                one.committed = (told.began_s, told.ended_s)
            continue
        block.append(one)
        one.owner = told.client or id(block)
        if "end" in kinds:
            del blocks[told.pid]
            failed = any(part.told.sqlstate for part in block)
            if not failed and not texts[-1].lower().startswith(("rollback", "abort")):
                for part in block:
                    part.committed = (told.began_s, told.ended_s)
    return seen


def _kind(text: str, kinds: Collection[str]) -> str:
    if WRITES.search(text):
        return "change"
    if "statement" in kinds:
        return "read" if _TABLE.search(text) else "other"
    return "transaction" if "begin" in kinds or "end" in kinds else "other"


def _tables(told: RecordedStatement) -> frozenset[str]:
    names = _TABLE.findall(told.text)
    return frozenset(name.rpartition(".")[2].lower() for name in names)


def _keys(told: RecordedStatement) -> frozenset[str]:
    """Return the values in its conditions; where it has none, as an INSERT, all its values."""
    text = told.text[found.start() :] if (found := _WHERE.search(told.text)) else told.text
    keys = {quoted or number for quoted, number in _LITERAL.findall(text)}
    places = (int(number) - 1 for number in _PARAMETER.findall(text))
    keys |= {value for place in places for value in told.values[place : place + 1] if value}
    return frozenset(keys)


def _stale(read: _Seen, changes: Sequence[_Seen]) -> bool:
    """Tell whether a rival's change was committed after *read*, before its owner's took effect."""
    acted = [
        own.committed[0]
        for own in changes
        if own.owner == read.owner and own.told.began_s >= read.told.ended_s
    ]
    return any(
        rival.owner != read.owner
        and rival.concerns(read)
        and rival.committed[0] >= read.told.ended_s
        and rival.committed[1] <= max(acted, default=-1)
        for rival in changes
    )


def _mark_outdated(reads: Sequence[_Seen], changes: Sequence[_Seen]) -> None:
    for read in reads:
        after = [
            change
            for change in changes
            if change.concerns(read) and change.committed[0] >= read.told.ended_s
        ]
        if len(after) < 2:
            continue
        first, second = sorted(after, key=lambda one: one.committed[1])[:2]
        before = [
            other
            for other in reads
            if other.concerns(first) and other.told.ended_s <= first.committed[0]
        ]
        between = any(
            other.concerns(first)
            and other.told.began_s >= first.committed[0]
            and other.told.ended_s <= second.told.began_s
            for other in reads
        )
        if len(before) > 1 and not between:
            read.mark = OUTDATED
