"""What notebook 10 says of a scenario: the bursts, the schedules, the cause, the fixes."""

from collections.abc import Sequence

from ticketsvc.lab.explore.causes import Cause
from ticketsvc.lab.explore.fixes import TriedFix, not_tried
from ticketsvc.lab.explore.scenario import ScenarioExploration
from ticketsvc.lab.explore.transcripts import every
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
from ticketsvc.lab.scenarios.burst import ScenarioBurst
from ticketsvc.lab.scenarios.investigation import name_of
from ticketsvc.lab.story import Claims

_UNEXPLAINED = (
    "unexplained: what the statements read and wrote is evidence for none of the causes that the "
    "explorer knows. The schedule stands all the same"
)


def what_the_bursts_did(alone: ScenarioBurst, together: Sequence[ScenarioBurst]) -> str:
    """Say what came of one client alone, and of all at once."""
    violated = sum(not burst.clean for burst in together)
    one = "nothing" if alone.clean else "an invariant already"
    said = (
        f"**What this shows.** One client alone violates {one}. Of {len(together)} bursts, "
        f"{violated or 'none'} violated an invariant."
    )
    return said if violated == len(together) else f"{said} A clean burst proves nothing."


def what_the_schedules_do(found: ScenarioExploration) -> str:
    """Say how many schedules violate, and whether all could be seen."""
    reasons = "; ".join(found.reasons)
    seen = f"Not all could be seen: {reasons}." if reasons else "All are covered."
    return (
        f"**What this shows.** {found.violating or 'None'} of {found.schedules:,} schedules "
        f"{'violates' if found.violating < 2 else 'violate'} an invariant. {seen}"
    )


def the_cause(found: ScenarioExploration) -> str:
    """Return the cause of each violation, in the smallest schedule that has it, as a quotation."""
    if found.smallest is None:
        return "> No schedule violates an invariant, so there is no cause to name."
    told: dict[str, list[str]] = {}
    for name, (run, cause) in _causes(found).items():
        said = f"schedule {run.id}: {cause.sentence if cause else _UNEXPLAINED}"
        told.setdefault(said, []).append(f"**{name}**")
    return "\n>\n".join(f"> {' and '.join(names)}, {said}" for said, names in told.items())


def _causes(found: ScenarioExploration) -> dict[str, tuple[ScenarioRun, Cause | None]]:
    """Return, of each violated invariant, the smallest schedule that violates it, and the cause."""
    return {
        one.name: (run, cause)
        for run in found.runs
        for one, cause in zip(run.violated, run.causes, strict=True)
        if found.examples[one.name] == run.id
    }


def what_would_fix_it(tried: Sequence[TriedFix]) -> str:
    """Say which candidates hold, and which were not tried."""
    explored = sum(one.explored for one in tried)
    good = sum(one.holds for one in tried)
    if not tried:
        held = "Nothing is violated, so there was nothing to fix."
    else:
        held = (
            f"Of {len(tried)} candidates {explored} were tried, and {good or 'none'} of these "
            f"{'holds' if good < 2 else 'hold'} in every schedule."
        )
    return f"**What this shows.** {held} {not_tried(tried)}"


def answer(found: ScenarioExploration, bursts: Sequence[ScenarioBurst]) -> str:
    """Answer the notebook's question: yes, no, or could not tell."""
    name = name_of(found.scenario)
    violated = sum(not burst.clean for burst in bursts)
    reasons = "; ".join(found.reasons)
    if found.violating:
        names = dict.fromkeys(cause.name for _, cause in _causes(found).values() if cause)
        seen = f"Yes, in {name}: {found.violating:,} of {found.schedules:,} schedules violate"
        return f"{seen} ({'; '.join(names) or 'unexplained'})."
    if violated:
        return f"Yes, in {name}: {violated} of {len(bursts)} bursts violate; {reasons}."
    if reasons:
        return f"Could not tell of {name}: {reasons}."
    return f"No, not in {name}: {every(found.schedules).lower()} clean."


def claims(
    found: ScenarioExploration,
    again: ScenarioRun | None,
    bursts: Sequence[ScenarioBurst],
    fixed: ScenarioExploration | None,
    tried: Sequence[TriedFix],
) -> Claims:
    """Return what the answer rests on, and whether each of it is so."""
    violated = sum(not burst.clean for burst in bursts)
    made = {
        "before each burst every invariant holds": not any(burst.before for burst in bursts),
        f"{violated} of {len(bursts)} bursts violate, and {found.violating:,} of "
        f"{found.schedules:,} schedules: schedules find what bursts find": bool(
            found.violating or found.reasons or not violated
        ),
    }
    if not found.reasons:
        made[f"{every(found.schedules).lower()} covered"] = found.complete
        made["in a schedule a client succeeds"] = found.succeeded > 0
    if found.smallest is not None:
        made[f"schedule {found.smallest.id}, run again, ends in the same violations"] = (
            again is not None and again.outcome == found.smallest.outcome
        )
    if fixed is not None:
        made["the system as it is violates"] = found.violating > 0
        made[f"fixed: {every(fixed.schedules).lower()} covered and clean"] = (
            fixed.complete and not fixed.violating and not fixed.reasons
        )
    if tried:
        good = sum(one.holds for one in tried)
        made[f"{good} of {len(tried)} candidates hold; each of the others has a reason"] = all(
            one.holds or one.why for one in tried
        )
    return made
