"""Which parts of a schedule overlap: a client's steps, or a transaction's."""

from collections.abc import Hashable, Sequence

from ticketsvc.lab.explore.effects import dependent
from ticketsvc.lab.explore.orders import acyclic
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun


def in_series(run: ScenarioRun, parts: Sequence[Hashable]) -> bool:
    """Tell whether *run* differs only in the order of independent steps from one in which each of
    *parts* ends before the next begins; *parts*: what each step belongs to."""
    before: dict[Hashable, set[Hashable]] = {}
    for place, step in enumerate(run.steps):
        before.setdefault(parts[place], set()).update(
            parts[earlier]
            for earlier, other in enumerate(run.steps[:place])
            if parts[earlier] != parts[place]
            and (other.session == step.session or dependent(other.effect, step.effect))
        )
    return acyclic(before)


def why_nothing_isolates(runs: Sequence[ScenarioRun]) -> str:
    """Say why neither an isolation level nor a row lock can help; "" where one may.

    Both act on transactions that overlap. So neither prevents a schedule in which none do.
    """
    for run in runs:
        transactions = _transactions(run)
        if run.violated and transactions and in_series(run, transactions):
            break
    else:
        return ""
    none = (
        ""
        if uses_transactions(runs)
        else "no client uses a transaction: each statement commits by itself; "
    )
    return (
        f"{none}schedule {run.id} violates though no two transactions have to overlap, and a level "
        "or a row lock acts only on those that do"
    )


def uses_transactions(runs: Sequence[ScenarioRun]) -> bool:
    """Tell whether a client sends more than one statement in a transaction."""
    return any(len({*_transactions(run)}) < len(run.acts) for run in runs)


def _transactions(run: ScenarioRun) -> list[Hashable]:
    """Return the transaction that each step belongs to; nothing where one was rolled back."""
    if any(act.committed is None for act in run.acts):
        return []
    ends = {act.place: act.committed for act in run.acts}
    return [(step.session, ends.get(place, place)) for place, step in enumerate(run.steps)]
