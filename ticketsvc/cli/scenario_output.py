"""How `explore` and `stress` print what they have found."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ticketsvc.cli.console import print_table

if TYPE_CHECKING:
    from ticketsvc.lab.explore.exploration import Counts
    from ticketsvc.lab.explore.fixes import TriedFix
    from ticketsvc.lab.explore.scenario import ScenarioExploration
    from ticketsvc.lab.scenarios.burst import ScenarioBurst
    from ticketsvc.lab.scenarios.spec import Scenario

_WIDTH = 100
_FIX_LEGEND = (
    "Numbers are schedules. A candidate is given up at its first violation (--full runs on). "
    "Needless: a client was refused that would have been served one after the other. "
    "Errors: a client ended in an error from the database. Waits: a step waited for a lock."
)


def remarks(found: "ScenarioExploration") -> list[str]:
    """Return why nothing could be told, or what the counts of a violating one leave out."""
    if not found.violating:
        return [f"could not tell: {reason}" for reason in found.reasons]
    partial = "" if found.complete else ", so the counts are incomplete"
    return [f"violations found; {reason}{partial}" for reason in found.reasons]


def print_exploration(
    scenario: "Scenario", found: "ScenarioExploration", hold_commits: bool, *, tried_fixes: bool
) -> None:
    """Print the counts, the smallest bad schedule, an example of each outcome, the conclusion."""
    from ticketsvc.lab.explore.scenario_transcripts import as_text
    from ticketsvc.lab.scenarios.clients import actors_of

    if not found.schedules:
        return
    names = ", ".join(actor.name for actor in actors_of(scenario))
    commits = "two steps" if hold_commits else "one step"
    print(
        f"{scenario.file}: {names}; {scenario.database.isolation}; a statement and its commit are "
        f"{commits}"
    )
    print_counts(found, unsure=_unsure(found))
    if found.smallest is not None:
        print(f"The smallest schedule that violates, {found.smallest.id}:\n")
        print(as_text(found.smallest) + "\n")
    for name, word in found.examples.items():
        if name == "clean" and _unsure(found):
            continue
        print(f"{name if name == 'clean' else f'violates {name!r}'}: --replay {word}")
    if not (found.complete and _unsure(found)):
        print(_conclusion(found, hold_commits))
    if found.smallest is not None and not tried_fixes and not found.sampled:
        print("Next: --try-fixes explores the same again with each fix that people reach for.")


def _unsure(found: "ScenarioExploration") -> bool:
    """Tell whether nothing can be said: then nothing is called clean."""
    return bool(found.reasons) and not found.violating


def print_counts(
    found: "Counts", more: "Sequence[tuple[int, str]]" = (), *, unsure: bool = False
) -> None:
    """Print how many schedules have what in common, and *more* of it; *unsure*: none is clean."""
    from ticketsvc.lab.explore.transcripts import error_in_words

    rate = f", {found.classes / found.seconds:,.0f} per second" if found.seconds else ""
    executed = f"{found.classes:,} executed{rate}"
    if found.classes < found.schedules:
        executed += "; each of the others ends like one of these"
    errors = sorted(found.sqlstates.items())
    counts = [
        (found.schedules, f"covered; {executed}"),
        *([] if unsure else [(found.clean, "clean")]),
        *((times, f"violate {name!r}") for name, times in found.violations.items()),
        (found.refused, "a client did not succeed: it was refused, or failed"),
        *more,
        (found.blocked, "a step waited for another client's lock"),
        (found.retries, "a client went on after a statement that failed"),
        *((times, f"a statement failed with {error_in_words(code)}") for code, times in errors),
    ]
    shown = [(f"{count:,}", meaning) for count, meaning in counts if count or meaning == "clean"]
    print_table(("schedules", "what they have in common"), shown)


def _conclusion(found: "ScenarioExploration", hold_commits: bool) -> str:
    from ticketsvc.lab.explore.transcripts import every

    all_of_them = every(found.schedules)
    counted = f"{found.clean:,} clean, {found.violating:,} that violate an invariant"
    if found.sampled:
        return f"{found.schedules:,} random schedules: {counted}. A sample cannot prove the rest."
    if not found.complete:
        return "Not every schedule is covered." + ("" if _unsure(found) else f" So far: {counted}.")
    if found.violating:
        return f"{all_of_them} covered: {counted}."
    if hold_commits:
        each = "it" if found.schedules == 1 else "every one"
        clean = f"{all_of_them} covered, and {each} is clean."
        if found.refused < found.schedules:
            return clean
        return clean + (
            "\nIn each, a client did not succeed. Explore once more with stock for all of them: "
            "that is\nwhere two may get the same."
        )
    return (
        f"{all_of_them} clean, which proves nothing about statements that "
        "overlap:\nwith --no-hold-commits each statement commits at once. Run it again without it."
    )


def print_fixes(tried: "Sequence[TriedFix]") -> None:
    """Print what cannot help, then the table of what was tried, then why each holds or not."""
    from ticketsvc.lab.explore.fixes import SHOWN, not_tried
    from ticketsvc.lab.explore.scenario_transcripts import in_one_line

    if useless := not_tried(tried):
        print("\n" + filled(useless))
    tried = [one for one in tried if one.explored]
    print("\nFixes, the best first:")
    rows = [[one.shown()[name] for name in SHOWN] for one in tried]
    # Short, so that on 80 columns only the names of fixes have to be wrapped.
    titles = [name.removeprefix("refused_").replace("needlessly", "needless") for name in SHOWN]
    print_table(titles, rows, _WIDTH)
    print(textwrap.fill(_FIX_LEGEND, _WIDTH) + "\n")
    for one in tried:
        print(filled(f"{one.candidate.name}: {one.shown()['why']}"))
        if (run := one.found.smallest) is not None:
            print(filled(f"    it breaks at schedule {run.id}: {in_one_line(run)}"))


def filled(text: str) -> str:
    """Return *text* in lines that fit, all but the first indented."""
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ")


def print_comparison(found: "Mapping[str, ScenarioExploration]") -> None:
    """Print the counts of both scenarios side by side."""
    names = ["schedules", "classes", "clean", "violating", "refused", "blocked", "retries"]
    told = [one.as_dict() for one in found.values()]
    rows = [[name, *(f"{one[name]:,}" for one in told)] for name in names]
    kinds = dict.fromkeys(name for one in told for name in one["violations"])
    rows += [
        [f"violate {kind!r}", *(f"{one['violations'].get(kind, 0):,}" for one in told)]
        for kind in kinds
    ]
    rows.append(["all covered", *("yes" if one["complete"] else "no" for one in told)])
    for when, file in zip(("before", "after"), found, strict=True):
        print(f"{when}: {file}")
    print_table(["", "before", "after"], rows, _WIDTH)


def print_bursts(bursts: "Sequence[ScenarioBurst]") -> None:
    """Print a row for each burst, what was violated, and the first refusal."""
    from ticketsvc.lab.explore.scenario_transcripts import in_words

    names = ["clients", "success", "refused", "failed", "unknown", "numbers", "duplicates", "clean"]
    rows = [burst.as_dict() | {"clean": "yes" if burst.clean else "no"} for burst in bursts]
    print_table(
        ["burst", *names],
        [[n, *(row[name] for name in names)] for n, row in enumerate(rows, 1)],
        _WIDTH,
    )
    for n, burst in enumerate(bursts, start=1):
        for when, violated in (("before", burst.before), ("after", burst.after)):
            for one in violated:
                print(filled(f"{when} burst {n}: {in_words(one)}"))
    if said := next((row["first_refusal"] for row in rows if row["first_refusal"]), ""):
        print(filled(f"The first client that did not succeed was told: {said}"))
