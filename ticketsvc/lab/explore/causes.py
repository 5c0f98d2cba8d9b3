"""The cause of a violation, in a sentence, with the two statements and the row that show it.

Pure. What each step read and changed is known by relation. Client A's read *missed* a change of
B's when B's change was committed only after the read: then A acted on what was no longer so. A
cause is named only when its evidence is there; else it is None: unexplained.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketsvc.lab.explore.effects import ANYTHING, Relations

CauseName = Literal[
    "check-then-act on a stale read",
    "lost update",
    "phantom",
    "write skew",
    "unguarded update",
    "lock released before commit",
    "repeated request",
]

_UNLOCKS = re.compile(r"pg_advisory_unlock", re.IGNORECASE)
_SET = re.compile(r"\bset\s+(.*?)(?:\bwhere\b|\breturning\b|$)", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"\"?(\w+)\"?\s*=\s*([^,]+)")
_INSERT = re.compile(r"\binsert\s+into\b", re.IGNORECASE)
_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+\b")
_PARAMETER = re.compile(r"\$(\d+)")
_UPDATE = re.compile(r"\b(update|delete)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Act:
    """One step as the search for a cause sees it.

    *place*: which step, from 0. *committed*: the place of the step that made its changes visible;
    None: they were rolled back. *row*: the first row it returned, *rows*: how many it returned or
    changed. *waited_for*: clients whose lock it waited for.
    """

    place: int
    client: int
    text: str
    values: tuple[str | None, ...]
    reads: Relations
    changes: Relations
    committed: int | None
    row: Mapping[str, object] | None = None
    rows: int = -1
    waited_for: tuple[int, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Cause:
    """A cause, the sentence that explains it, and the places of the steps that show it."""

    name: CauseName
    sentence: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class _Miss:
    """A read of *reader*, a rival's *change* that it did not see, and *act*, done all the same."""

    read: Act
    change: Act
    act: Act
    relation: str


def cause_of(acts: Sequence[Act], names: Sequence[str]) -> Cause | None:
    """Return the cause that the evidence in *acts* shows; None when it shows none."""
    # A read that waited first: what it waited for, and did not see, says most.
    misses = sorted(_misses(acts), key=lambda miss: not miss.read.waited_for)
    return _early_unlock(acts, misses, names) or _stale(misses, names) or _unguarded(acts, names)


def _misses(acts: Sequence[Act]) -> Iterator[_Miss]:
    for read in acts:
        for change in acts:
            if change.client == read.client or change.committed is None or not read.reads:
                continue
            shared = _shared(read.reads, change.changes)
            if not shared or change.committed < read.place:
                continue
            acted = [
                act
                for act in acts
                if act.client == read.client
                and act.place >= read.place
                and act.changes
                and act.committed is not None
                and act.rows != 0
            ]
            if acted and acted[-1].committed is not None:
                yield _Miss(read, change, acted[-1], shared)


def _shared(reads: Relations, changes: Relations) -> str:
    both = sorted(name for name in reads & changes if name != ANYTHING)
    return both[0] if both else ""


def _stale(misses: Sequence[_Miss], names: Sequence[str]) -> Cause | None:
    """Two clients of which each missed the other's change, or one that wrote over it."""
    for miss in misses:
        back = next(
            (
                other
                for other in misses
                if other.read.client == miss.change.client
                and other.change.client == miss.read.client
            ),
            None,
        )
        overwrote = miss.act.committed is not None and (miss.change.committed or 0) < (
            miss.act.committed
        )
        if back is None and not overwrote:
            continue
        if _both_insert(miss) and not miss.read.waited_for:
            return _say("phantom", miss, names, _phantom(miss, names))
        if _sets_what_it_read(miss.act, miss.relation) and _sets_what_it_read(
            miss.change, miss.relation
        ):
            return _say("lost update", miss, names, _lost(miss, names))
        if back and not miss.read.waited_for and _different_rows(miss):
            return _say("write skew", miss, names, _skew(miss, names))
        return _say("check-then-act on a stale read", miss, names, _checked(miss, names))
    return None


def _say(name: CauseName, miss: _Miss, names: Sequence[str], more: str) -> Cause:
    reader, rival = names[miss.read.client], names[miss.change.client]
    committed = miss.change.committed or 0
    if miss.read.waited_for and miss.read is miss.act:
        began = (
            f"{reader}'s statement (step {miss.read.place + 1}) waited for {rival}'s lock, but "
            f"{_table(miss.relation)} it read as it was before the wait"
        )
    else:
        began = (
            f"{reader} read {_table(miss.relation)}{_row(miss.read)} at step {miss.read.place + 1}"
        )
    changed = f"{rival} changed it at step {miss.change.place + 1}"
    if committed != miss.change.place:
        changed += f" and committed at step {committed + 1}"
    sentence = f"{name}: {began}; {changed}; {more}"
    places = tuple(sorted({miss.read.place, miss.change.place, committed, miss.act.place}))
    return Cause(name, sentence, places)


def _phantom(miss: _Miss, names: Sequence[str]) -> str:
    return (
        f"the row that would have been in the way was not there yet, so nothing could lock it, and "
        f"{names[miss.act.client]} inserted its own at step {miss.act.place + 1}"
    )


def _lost(miss: _Miss, names: Sequence[str]) -> str:
    return (
        f"{names[miss.act.client]} wrote back a value computed from what it had read, over the "
        f"other's, at step {miss.act.place + 1}"
    )


def _skew(miss: _Miss, names: Sequence[str]) -> str:
    return (
        f"{names[miss.act.client]} changed another row at step {miss.act.place + 1}: each kept to "
        "what it had read, and both together break the rule"
    )


def _checked(miss: _Miss, names: Sequence[str]) -> str:
    return (
        f"{names[miss.act.client]} acted on what it had read at step {miss.act.place + 1}"
        if miss.act is not miss.read
        else f"{names[miss.act.client]} decided by what was no longer so"
    )


def _early_unlock(
    acts: Sequence[Act], misses: Sequence[_Miss], names: Sequence[str]
) -> Cause | None:
    """A lock that was given back while the changes under it could not be seen yet."""
    for miss in misses:
        for unlock in acts:
            change = miss.change
            if (
                unlock.client == change.client
                and _UNLOCKS.search(unlock.text)
                and change.place < unlock.place < miss.read.place < (change.committed or 0)
            ):
                sentence = (
                    f"lock released before commit: {names[unlock.client]} changed "
                    f"{_table(miss.relation)} at step {change.place + 1} and gave its lock back at "
                    f"step {unlock.place + 1}, before its commit at step "
                    f"{(change.committed or 0) + 1}; in between {names[miss.read.client]} read "
                    f"what was no longer so at step {miss.read.place + 1}"
                )
                places = (change.place, unlock.place, miss.read.place, change.committed or 0)
                return Cause("lock released before commit", sentence, places)
    return None


def _unguarded(acts: Sequence[Act], names: Sequence[str]) -> Cause | None:
    """Two clients that changed the same rows without asking what they were."""
    for one in acts:
        for other in acts:
            if (
                one.client < other.client
                and _template(one.text) == _template(other.text)
                and _condition(one) == _condition(other)
                and _UPDATE.search(one.text)
                and one.changes
                and one.committed is not None
                and other.committed is not None
                and one.rows > 0
                and other.rows > 0
            ):
                mine = [(act.text, act.values) for act in acts if act.client == one.client]
                theirs = [(act.text, act.values) for act in acts if act.client == other.client]
                both = (
                    f"{names[one.client]} (step {one.place + 1}) and "
                    f"{names[other.client]} (step {other.place + 1})"
                )
                table = _table(sorted(one.changes)[0])
                if mine == theirs:
                    sentence = (
                        f"repeated request: {both} sent the same statements with the same values, "
                        f"and both took effect on {table}: nothing asks whether it was done before"
                    )
                    return Cause("repeated request", sentence, (one.place, other.place))
                sentence = (
                    f"unguarded update: {both} changed the same rows of {table} by the same "
                    "statement, which does not ask what they were; the second took effect as well"
                )
                return Cause("unguarded update", sentence, (one.place, other.place))
    return None


def _both_insert(miss: _Miss) -> bool:
    """Tell whether both clients put new rows where the reader had looked."""
    acts = (miss.act, miss.change)
    return all(_INSERT.search(act.text) and miss.relation in act.changes for act in acts)


def _sets_what_it_read(act: Act, relation: str) -> bool:
    """Tell whether *act* is an UPDATE that sets a column to a value that names no column of it."""
    found = _SET.search(act.text)
    if relation not in act.changes or not found or not _UPDATE.match(act.text.lstrip()):
        return False
    assignments = _ASSIGNMENT.findall(found[1])
    return (
        bool(assignments)
        and all(not re.search(rf"\b{column}\b", value) for column, value in assignments)
        and any(re.search(r"\$\d|\d", value) for _, value in assignments)
    )


def _different_rows(miss: _Miss) -> bool:
    """Tell whether the two changes name different rows, by their conditions."""
    one, other = miss.act, miss.change
    if not (_UPDATE.search(one.text) and _UPDATE.search(other.text)):
        return False
    return _condition(one) != _condition(other)


def _template(text: str) -> str:
    """Return *text* with every literal value replaced, to compare what two clients sent."""
    return _LITERAL.sub("?", " ".join(text.split()).lower())


def _condition(act: Act) -> str:
    """Return what comes after WHERE, with the values that are bound in it."""
    _, _, condition = re.sub(r"\s+", " ", act.text).lower().partition(" where ")
    return _PARAMETER.sub(lambda found: repr(_value(act, int(found[1]))), condition)


def _value(act: Act, number: int) -> str | None:
    return act.values[number - 1] if number <= len(act.values) else None


def _table(relation: str) -> str:
    return relation.removeprefix("public.")


def _row(read: Act) -> str:
    if read.row is None:
        return " (no row)" if read.rows == 0 else ""
    return f" ({', '.join(f'{name} = {value}' for name, value in read.row.items())})"
