"""The cause of a violation, in a sentence, with the two statements and the row that show it.

Pure. Client A's read *missed* a change of B's that was committed after it: when A's own change came
later still, A acted on what was no longer so. A cause is named only when its evidence is there;
else it is None: unexplained.

Over 300 lines, because the seven causes share the search for what was missed.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketsvc.lab.explore.acts import Act, table_of

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
_STARTS_AS_UPDATE = re.compile(r"\(?\s*(update|delete)\b", re.IGNORECASE)
_UPDATED = re.compile(r"^\s*update\b", re.IGNORECASE)
_EVERY_COLUMN = re.compile(r"\bselect\s+(?:\w+\.)?\*", re.IGNORECASE)
_NUMERIC = re.compile(r"[\d\s+*/.()-]*\d[\d\s+*/.()-]*")
_CAST = re.compile(r"::\s*\w+")


@dataclass(frozen=True)
class Cause:
    """A cause, the sentence that explains it, and the places of the steps that show it."""

    name: CauseName
    sentence: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class _Miss:
    """A read, a rival's *change* that it did not see, and *act*, done after the read.

    *relation*: what was read and changed. *more*: what the reader did besides to what an invariant
    looks at.
    """

    read: Act
    change: Act
    act: Act
    relation: str
    more: tuple[Act, ...]


def cause_of(acts: Sequence[Act], about: str = "") -> Cause | None:
    """Return the cause that the evidence in *acts* shows; None when it shows none.

    *about*: the SQL of an invariant. Only who changed what it looks at can have violated it.
    """
    looked_at = _looked_at(acts, about)
    misses = list(_misses(acts, looked_at))
    guilty = looked_at or acts
    direct = [miss for miss in misses if not miss.more]
    theirs = [act for act in acts if any(act.client == one.client for one in guilty)]
    return (
        _early_unlock(acts, misses)
        or _stale(direct)
        or _changed_late(acts, guilty)
        or _stale(misses)
        or _unguarded(theirs)
    )


def _looked_at(acts: Sequence[Act], about: str) -> list[Act]:
    """Return the acts that changed a relation that *about* names, until nothing could matter.

    An UPDATE of columns that it does not name matters no more once all others are committed.
    """
    found = [act for act in acts if any(_mentions(about, table_of(name)) for name in act.changes)]
    last = max((act.visible for act in found if _names_a_column(about, act)), default=len(acts))
    return [act for act in found if act.visible <= last]


def _names_a_column(about: str, act: Act) -> bool:
    """Tell whether *about* names what *act* changed: of its own table's columns, one that it set.

    Of a relation that only a trigger changed, nobody knows which.
    """
    if not _UPDATED.search(act.text) or len(act.changes) > 1 or _EVERY_COLUMN.search(about):
        return True
    return any(_mentions(about, column) for column in act.columns_set)


def _mentions(text: str, name: str) -> bool:
    return bool(re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE))


def _misses(acts: Sequence[Act], looked_at: Sequence[Act]) -> Iterator[_Miss]:
    for read in acts:
        after = [
            act
            for act in acts
            if act.client == read.client and act.place >= read.place and act.took_effect
        ]
        guilty = [act for act in after if act in looked_at]
        if not after or (looked_at and not guilty):
            continue
        for change in acts:
            shared = sorted(name for name in change.changes if read.sees(name))
            if change.client == read.client or not shared or not change.took_effect:
                continue
            if change.visible < read.seen or read.waited_and_saw(change):
                continue
            if read.disjoint(change):
                continue
            # What changes the same relation says more than what else the client did.
            for act in sorted(after, key=lambda act: shared[0] not in act.changes):
                more = () if not guilty or act in guilty else (guilty[-1],)
                yield _Miss(read, change, act, shared[0], more)


def _stale(misses: Sequence[_Miss]) -> Cause | None:
    """Return what came of a read that missed a change which was committed before its own act."""
    found = [miss for miss in misses if miss.change.visible < miss.act.visible]
    if not found:
        return None
    # A read that waited first says most: what it waited for, it did not see.
    miss = min(found, key=lambda miss: (not miss.read.waited_for, not _came_back(miss, misses)))
    waited = bool(miss.read.waited_for)
    name: CauseName = "check-then-act on a stale read"
    if _both_insert(miss) and not waited:
        name = "phantom"
        more = "the row that would have been in the way was not there yet, so nothing could lock it"
    elif _writes_back(miss.act, miss) and _writes_back(miss.change, miss):
        name = "lost update"
        more = (
            f"{miss.act.name} wrote back a value computed from what it had read, over the other's"
        )
    elif not waited and _came_back(miss, misses) and _different_rows(miss.act, miss.change):
        name = "write skew"
        more = (
            "they changed different rows: each kept to what it had read, and both together break "
            "the rule"
        )
    elif miss.act is miss.read:
        more = f"{miss.act.name} decided by what was no longer so"
    else:
        more = f"{miss.act.name} acted on what it had read all the same"
    clauses = [*_reading(miss), *_changing(miss.change, miss.relation)]
    for act in (miss.act, *miss.more):
        if act is not miss.read:
            begun, *committed = _changing(act, miss.relation)
            # When it committed matters where it came first.
            clauses += [begun, *(committed if act.place < miss.change.visible else ())]
    return _cause(name, clauses, more)


def _came_back(miss: _Miss, misses: Sequence[_Miss]) -> bool:
    """Tell whether the rival missed a change of the reader's, too."""
    pair = miss.change.client, miss.read.client
    return any((other.read.client, other.change.client) == pair for other in misses)


_Clause = tuple[int, str, str]
"""At which place which client did what."""


def _reading(miss: _Miss) -> Iterator[_Clause]:
    read, table = miss.read, short_name(miss.relation)
    did, when = f"read {table}{_row(read)}", ""
    if read.seen < read.place:
        yield read.seen, read.name, "took the snapshot of its transaction"
        when = " in that snapshot"
    if read is miss.act:
        did = f"read {table} and changed {_table(read, miss.relation)} in one statement"
        if read.waited_for:
            lock = f"waited for the lock of {miss.change.name}"
            did = f"{lock}, but read {table} as it was before the wait,"
    yield read.place, read.name, did + when


def _changing(act: Act, relation: str) -> Iterator[_Clause]:
    verb = "inserted into" if act.inserts else "changed"
    yield act.place, act.name, f"{verb} {_table(act, relation)}"
    if act.visible != act.place:
        yield act.visible, act.name, "committed"


def _table(act: Act, relation: str) -> str:
    """Return the name of what *act* changed: *relation*, if that is among it."""
    named = [name for name in sorted(act.changes) if re.match(r"\w", name)]
    return short_name(relation if relation in act.changes else next(iter(named), "data"))


def _cause(name: CauseName, clauses: Sequence[_Clause], more: str) -> Cause:
    """Return a cause whose sentence tells *clauses* in the order of their steps, then *more*."""
    told: list[str] = []
    last = ""
    for place, client, did in sorted(set(clauses)):
        what = f"{did} at step {place + 1}"
        if client == last:
            told[-1] += f" and {what}"
        else:
            told.append(f"{client} {what}")
        last = client
    sentence = f"{name}: {'; '.join([*told, more])}"
    return Cause(name, sentence, tuple(sorted({place for place, _, _ in clauses})))


def _early_unlock(acts: Sequence[Act], misses: Sequence[_Miss]) -> Cause | None:
    """A lock that was given back while the changes under it could not be seen yet."""
    for miss, unlock in itertools.product(misses, acts):
        change = miss.change
        if (
            unlock.client == change.client
            and _UNLOCKS.search(unlock.text)
            and change.place < unlock.place < miss.read.seen < change.visible
        ):
            back = unlock.place, unlock.name, "gave its lock back"
            clauses = [*_reading(miss), *_changing(change, miss.relation), back]
            more = "what the lock protected could be read while it was not committed"
            return _cause("lock released before commit", clauses, more)
    return None


def _changed_late(acts: Sequence[Act], guilty: Sequence[Act]) -> Cause | None:
    """Two clients that acted on what both had read, before either changed it."""
    for one, other in itertools.combinations(acts, 2):
        pair = {one.client, other.client}
        for relation in sorted(one.reads & other.reads):
            sees = one.sees(relation) and other.sees(relation)
            changes = [act for act in acts if relation in act.changes and act.client in pair]
            late = all(act.place > max(one.seen, other.seen) for act in changes)
            if not sees or not late or one.disjoint(other) or len(pair) == 1:
                continue
            told = [act for act in changes if act.took_effect][:1]
            acted = [
                act
                for read in (one, other)
                for act in guilty
                if act.client == read.client and act.place > read.place and act.took_effect
            ]
            if told and pair == {act.client for act in changes} == {act.client for act in acted}:
                table = short_name(relation)
                clauses = [
                    (read.place, read.name, f"read {table}{_row(read)}") for read in (one, other)
                ]
                for act in (*acted, *told):
                    clauses += [*_changing(act, relation)][:1]
                more = f"both acted on {table} as it was before either had changed it"
                return _cause("check-then-act on a stale read", clauses, more)
    return None


def _unguarded(acts: Sequence[Act]) -> Cause | None:
    """Two clients that changed the same rows without asking what they were."""
    for one, other in itertools.combinations([act for act in acts if act.took_effect], 2):
        if one.client == other.client or not (one.same_rows(other) and one.asks_nothing):
            continue
        mine, theirs = (
            [(act.text, act.values) for act in acts if act.client == client]
            for client in (one.client, other.client)
        )
        both = f"{one.name} (step {one.place + 1}) and {other.name} (step {other.place + 1})"
        table = short_name(min(one.changes))
        name: CauseName = "unguarded update"
        sentence = (
            f"{both} changed the same rows of {table} by the same statement, which does not ask "
            "what they were: the second wrote over the first"
        )
        if mine == theirs:
            name = "repeated request"
            sentence = (
                f"{both} sent the same statements with the same values, and both changed {table}: "
                "nothing asks whether it was done before"
            )
        return Cause(name, f"{name}: {sentence}", (one.place, other.place))
    return None


def _both_insert(miss: _Miss) -> bool:
    """Tell whether both clients put new rows where the reader had looked."""
    acts = (miss.act, miss.change)
    return all(act.inserts and miss.relation in act.changes for act in acts)


def _writes_back(act: Act, miss: _Miss) -> bool:
    """Tell whether *act* sets a column that was read to a number that it got from its client."""
    if miss.relation not in act.changes or not _STARTS_AS_UPDATE.match(act.text):
        return False
    read = [name.lower() for name in miss.read.row or ()]
    return any(
        any(name == column.lower() or name.endswith(f"_{column.lower()}") for name in read)
        and _NUMERIC.fullmatch(_CAST.sub("", value))
        for column, value in act.assignments
    )


def _different_rows(one: Act, other: Act) -> bool:
    """Tell whether two UPDATEs change different relations, or rows that they name differently."""
    updates = one.updates and other.updates
    return updates and (not one.changes & other.changes or one.disjoint(other))


def short_name(relation: str) -> str:
    """Return a relation's name as people write it."""
    return relation.removeprefix("public.")


def _row(read: Act) -> str:
    if read.row is None:
        return " (no row)" if read.rows == 0 else ""
    return f" ({', '.join(f'{name} = {value}' for name, value in read.row.items())})"
