"""The cause of a violation, in a sentence, with the two statements and the row that show it.

Pure. What each step read and changed is known by relation, and by the words of its SQL. Client A's
read *missed* a change of B's that was committed after it: when A's own change came later still, A
acted on what was no longer so. A cause is named only when its evidence is there; else it is None:
unexplained.

Over 300 lines, because the seven causes share one reading of what a step read and changed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketsvc.lab.explore.effects import ANYTHING, Relations
from ticketsvc.lab.explore.rewriting import LOCKS

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
_INSERT = re.compile(r"\binsert\s+into\b", re.IGNORECASE)
_UPDATE = re.compile(r"(?:^|\()\s*(update|delete)\b", re.IGNORECASE)
_SET = re.compile(r"\bset\s+(.*?)(?:\bwhere\b|\breturning\b|$)", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"\"?(\w+)\"?\s*=\s*([^,]+)")
_NUMERIC = re.compile(r"[\d\s+*/.()-]*\d[\d\s+*/.()-]*")
_CAST = re.compile(r"::\s*\w+")
_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+\b")
_PARAMETER = re.compile(r"\$(\d+)")
_EQUALS = re.compile(r"\"?(\w+)\"?\s*=\s*('(?:[^']|'')*'|\d+\b|\$\d+)")
_READS = r"(?<!delete )\b(?:from|join|using)\s+(?:only\s+)?(?:\"?\w+\"?\.)?\"?{}\b"


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
    """A read, a rival's *change* that it did not see, and *act*, done and committed after that."""

    read: Act
    change: Act
    act: Act
    relation: str


def cause_of(acts: Sequence[Act], names: Sequence[str]) -> Cause | None:
    """Return the cause that the evidence in *acts* shows; None when it shows none."""
    misses = list(_misses(acts))
    return _early_unlock(acts, misses, names) or _stale(misses, names) or _unguarded(acts, names)


def _misses(acts: Sequence[Act]) -> Iterator[_Miss]:
    for read in acts:
        for change in acts:
            shared = sorted(name for name in change.changes if _sees(read, name))
            if change.client == read.client or not shared or not _took_effect(change):
                continue
            if _place(change) < read.place or _waited_and_saw(read, change):
                continue
            if _disjoint(read, change):
                continue
            acted = [
                act
                for act in acts
                if act.client == read.client and act.place >= read.place and _took_effect(act)
            ]
            # What changes the same relation says more than what else the client did.
            acted.sort(key=lambda act: shared[0] not in act.changes)
            if acted:
                yield _Miss(read, change, acted[0], shared[0])


def _took_effect(act: Act) -> bool:
    return bool(act.changes) and act.committed is not None and act.rows != 0


def _place(change: Act) -> int:
    """Return the place of the step that made *change* visible."""
    return change.place if change.committed is None else change.committed


def _sees(act: Act, relation: str) -> bool:
    """Tell whether *act* looks at *relation*, beyond the rows that it changes itself.

    An UPDATE that waited for a row goes by what the row is then, not by its snapshot.
    """
    if relation not in act.reads or relation == ANYTHING:
        return False
    name = re.escape(relation.rpartition(".")[2])
    text = " ".join(act.text.split()).lower()
    return relation not in act.changes or bool(re.search(_READS.format(name), text))


def _waited_and_saw(read: Act, change: Act) -> bool:
    """Tell whether a locking read waited for *change*, and so returned the row as changed."""
    return bool(
        change.client in read.waited_for
        and LOCKS.search(read.text)
        and not _INSERT.search(change.text)
    )


def _stale(misses: Sequence[_Miss], names: Sequence[str]) -> Cause | None:
    """Return what came of a read that missed a change which was committed before its own act."""
    found = [miss for miss in misses if _place(miss.change) < _place(miss.act)]
    # A read that waited first says most: what it waited for, it did not see.
    found.sort(key=lambda miss: (not miss.read.waited_for, not _came_back(miss, misses)))
    for miss in found:
        waited = bool(miss.read.waited_for)
        actor = names[miss.act.client]
        at = f"at step {miss.act.place + 1}"
        if _both_insert(miss) and not waited:
            return _say(
                "phantom",
                miss,
                names,
                "the row that would have been in the way was not there yet, so nothing could "
                f"lock it, and {actor} inserted its own {at}",
            )
        if _writes_back(miss.act, miss) and _writes_back(miss.change, miss):
            return _say(
                "lost update",
                miss,
                names,
                f"{at} {actor} wrote back a value computed from what it had read, over the other's",
            )
        if not waited and _came_back(miss, misses) and _different_rows(miss):
            return _say(
                "write skew",
                miss,
                names,
                f"{at} {actor} changed another row: each kept to what it had read, and both "
                "together break the rule",
            )
        more = f"{at} {actor} acted on what it had read all the same"
        if miss.act is miss.read:
            more = f"so {actor} decided by what was no longer so"
        return _say("check-then-act on a stale read", miss, names, more)
    return None


def _came_back(miss: _Miss, misses: Sequence[_Miss]) -> bool:
    """Tell whether the rival missed a change of the reader's, too."""
    pair = miss.change.client, miss.read.client
    return any((other.read.client, other.change.client) == pair for other in misses)


def _say(name: CauseName, miss: _Miss, names: Sequence[str], more: str) -> Cause:
    read, change, table = miss.read, miss.change, short_name(miss.relation)
    reader, rival = names[read.client], names[change.client]
    if read is miss.act and read.waited_for:
        began = (
            f"{reader}'s statement (step {read.place + 1}) waited for {rival}'s lock, but it read "
            f"{table} as it was before the wait"
        )
    elif read is miss.act:
        began = f"{reader} read {table} and changed it in one statement at step {read.place + 1}"
    else:
        began = f"{reader} read {table}{_row(read)} at step {read.place + 1}"
    verb = "inserted into it" if _INSERT.search(change.text) else "changed it"
    changed = f"{rival} {verb} at step {change.place + 1}"
    if _place(change) != change.place:
        changed += f" and committed at step {_place(change) + 1}"
    places = tuple(sorted({read.place, change.place, _place(change), miss.act.place}))
    return Cause(name, f"{name}: {began}; {changed}; {more}", places)


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
                and change.place < unlock.place < miss.read.place < _place(change)
            ):
                sentence = (
                    f"lock released before commit: {names[unlock.client]} changed "
                    f"{short_name(miss.relation)} at step {change.place + 1} and gave its lock "
                    f"back at step {unlock.place + 1}, before its commit at step "
                    f"{_place(change) + 1}; in between {names[miss.read.client]} read "
                    f"what was no longer so at step {miss.read.place + 1}"
                )
                places = (change.place, unlock.place, miss.read.place, _place(change))
                return Cause("lock released before commit", sentence, places)
    return None


def _unguarded(acts: Sequence[Act], names: Sequence[str]) -> Cause | None:
    """Two clients that changed the same rows without asking what they were."""
    for one in acts:
        for other in acts:
            if not (one.client < other.client and _took_effect(one) and _took_effect(other)):
                continue
            if not (_same_rows(one, other) and _asks_nothing(one)):
                continue
            mine = [(act.text, act.values) for act in acts if act.client == one.client]
            theirs = [(act.text, act.values) for act in acts if act.client == other.client]
            both = (
                f"{names[one.client]} (step {one.place + 1}) and "
                f"{names[other.client]} (step {other.place + 1})"
            )
            table = short_name(min(one.changes))
            places = tuple(sorted((one.place, other.place)))
            if mine == theirs:
                sentence = (
                    f"repeated request: {both} sent the same statements with the same values, "
                    f"and both changed {table}: nothing asks whether it was done before"
                )
                return Cause("repeated request", sentence, places)
            sentence = (
                f"unguarded update: {both} changed the same rows of {table} by the same "
                "statement, which does not ask what they were: the second wrote over the first"
            )
            return Cause("unguarded update", sentence, places)
    return None


def _same_rows(one: Act, other: Act) -> bool:
    """Tell whether two acts are the same statement on rows that are named the same way."""
    return (
        _template(one.text) == _template(other.text)
        and _condition(one) == _condition(other)
        and "select" not in _condition(one)
    )


def _asks_nothing(act: Act) -> bool:
    """Tell whether *act* is an UPDATE whose condition names no column that it sets."""
    found = _SET.search(act.text) if _UPDATE.search(act.text) else None
    columns = [column for column, _ in _ASSIGNMENT.findall(found[1])] if found else []
    condition = _condition(act)
    return bool(columns) and not any(
        re.search(rf"\b{column}\b", condition, re.IGNORECASE) for column in columns
    )


def _both_insert(miss: _Miss) -> bool:
    """Tell whether both clients put new rows where the reader had looked."""
    acts = (miss.act, miss.change)
    return all(_INSERT.search(act.text) and miss.relation in act.changes for act in acts)


def _writes_back(act: Act, miss: _Miss) -> bool:
    """Tell whether *act* sets a column that was read to a number that it got from its client."""
    found = _SET.search(act.text)
    if miss.relation not in act.changes or not found or not _UPDATE.match(act.text):
        return False
    read = [name.lower() for name in miss.read.row or ()]
    return any(
        any(name == column.lower() or name.endswith(f"_{column.lower()}") for name in read)
        and _NUMERIC.fullmatch(_CAST.sub("", _bound(act, value)))
        for column, value in _ASSIGNMENT.findall(found[1])
    )


def _different_rows(miss: _Miss) -> bool:
    """Tell whether two UPDATEs change different relations, or rows that they name differently."""
    one, other = miss.act, miss.change
    if not (_UPDATE.search(one.text) and _UPDATE.search(other.text)):
        return False
    return not one.changes & other.changes or _disjoint(one, other)


def _disjoint(one: Act, other: Act) -> bool:
    """Tell whether the conditions ask for different values of the same column."""
    ours, theirs = dict(_asked(one)), dict(_asked(other))
    return any(ours[column] != theirs[column] for column in ours.keys() & theirs.keys())


def _asked(act: Act) -> Iterator[tuple[tuple[str, bool], str | None]]:
    """Yield the column, whether its value is bound, and the value, for each `column = value`.

    A bound value may be in binary, so it is compared with bound values alone.
    """
    _, _, condition = " ".join(act.text.split()).lower().partition(" where ")
    for column, value in _EQUALS.findall(condition):
        bound = value.startswith("$")
        yield (column, bound), _value(act, int(value[1:])) if bound else value


def _template(text: str) -> str:
    """Return *text* with every literal value replaced, to compare what two clients sent."""
    return _LITERAL.sub("?", " ".join(text.split()).lower())


def _condition(act: Act) -> str:
    """Return what comes after WHERE, with the values that are bound in it."""
    _, _, condition = " ".join(act.text.split()).lower().partition(" where ")
    return _bound(act, condition)


def _bound(act: Act, text: str) -> str:
    return _PARAMETER.sub(lambda found: str(_value(act, int(found[1]))), text)


def _value(act: Act, number: int) -> str | None:
    return act.values[number - 1] if number <= len(act.values) else None


def short_name(relation: str) -> str:
    """Return a relation's name as people write it."""
    return relation.removeprefix("public.")


def _row(read: Act) -> str:
    if read.row is None:
        return " (no row)" if read.rows == 0 else ""
    return f" ({', '.join(f'{name} = {value}' for name, value in read.row.items())})"
