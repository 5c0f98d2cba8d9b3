"""`explore`: every interleaving of a few purchases, or of the clients of a scenario."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ticketsvc.cli.console import counter, print_table
from ticketsvc.cli.exit_codes import CLEAN, COULD_NOT_TELL, VIOLATION
from ticketsvc.cli.root import (
    FILE,
    among,
    as_json_option,
    could_not_tell,
    count_option,
    refuse_options,
    run_async,
    scenario_argument,
    schema_of,
    ticketsvc,
)
from ticketsvc.cli.scenario_output import print_counts
from ticketsvc.errors import UsageError
from ticketsvc.purchases import QUANTITY_RULE, is_quantity

if TYPE_CHECKING:
    from ticketsvc.lab.explore.cases import Case
    from ticketsvc.lab.explore.exploration import Exploration


_OF_ALLOCATORS = ("allocator", "schema", "buyers", "total", "quantity", "together")
_OF_SCENARIOS = ("isolation", "count", "try_fixes", "compare")
_LIMIT, _SCENARIO_LIMIT = 250_000, 20_000


@ticketsvc.command()
@scenario_argument
@click.option("--full", is_flag=True, help="Execute every schedule, not one of each class.")
@count_option("--sample", 1, 10_000_000, help="Execute this many, drawn at random.")
@click.option("--seed", type=int, default=1, help="For --sample.")
@count_option(
    "--limit",
    1,
    None,
    help=f"Execute at most this many. Default: {_SCENARIO_LIMIT:,} of a scenario, {_LIMIT:,} of an "
    "allocator.",
)
@click.option(
    "--hold-commits/--no-hold-commits",
    default=None,
    help="Make a statement and its commit two steps. Default: for scenarios, and for the right "
    "allocators.",
)
@click.option("--replay", metavar="ID", help="Show one schedule, step by step.")
@as_json_option
@click.option(
    "--count", multiple=True, metavar="NAME=N", help="Scenario: the number of clients called NAME."
)
@click.option("--isolation", help="Scenario: the isolation of its sessions, not the file's.")
@click.option(
    "--try-fixes",
    is_flag=True,
    help="Scenario: explore it again with each known fix, until it violates; with --full to "
    "its end.",
)
@click.option("--compare", type=FILE, help="Scenario: explore this one too; show both.")
@click.option("--allocator", default="naive", help="Ours: how tickets are allocated.")
@click.option("--schema", help="Ours: original or fixed. Default: where the allocator belongs.")
@count_option("--buyers", 1, 6, default=2, help="Ours: who buys at the same time.")
@count_option("--total", 0, 1_000_000, default=8, help="Ours: tickets there are.")
@click.option("--quantity", type=int, default=8, help="Ours: tickets per purchase.")
@count_option(
    "--together",
    1,
    4,
    default=1,
    help="Ours: purchases that arrive at once at each buyer's server, which has one connection.",
)
def explore(
    scenario: Path | None,
    allocator: str,
    schema: str | None,
    buyers: int,
    total: int,
    quantity: int,
    together: int,
    hold_commits: bool | None,
    full: bool,
    sample: int | None,
    seed: int,
    limit: int | None,
    replay: str | None,
    isolation: str | None,
    count: tuple[str, ...],
    try_fixes: bool,
    compare: Path | None,
    as_json: bool,
) -> None:
    """Run the clients of a scenario, or an allocator, through every interleaving.

    FILE.toml is a scenario: it describes a service of yours, see docs/your-own-service.md. Without
    it, one of our own allocators sells a few tickets. Options marked Scenario or Ours belong to one
    of the two.

    A schedule is one order in which the statements of all clients can run. Schedules that differ
    only in the order of independent steps end alike and form a class: one of each class is
    executed, of our allocators also one for all classes that differ only in which buyer is which.
    All schedules are counted.

    \b
    Exit code (with --compare that of the other scenario):
      0  every schedule is covered, and clean
      1  some violate an invariant
      2  wrong arguments, or something is wrong with the scenario
      3  could not tell: there are too many, no client succeeded, not all could be seen
    """
    if sum((full, sample is not None, replay is not None)) > 1:
        raise UsageError("--full, --sample and --replay exclude each other")
    search: dict[str, Any] = {"full": full, "sample": sample or 0, "seed": seed}
    if scenario is not None:
        from ticketsvc.cli.scenarios import explore_file

        refuse_options(_OF_ALLOCATORS, "belongs to an allocator: leave it out, or the scenario")
        explore_file(
            scenario,
            counts=count,
            isolation=isolation,
            hold_commits=hold_commits is not False,
            try_fixes=try_fixes,
            compare=compare,
            replay=replay,
            as_json=as_json,
            limit=limit or _SCENARIO_LIMIT,
            **search,
        )
    refuse_options(_OF_SCENARIOS, "belongs to a scenario: name its file")
    from ticketsvc.allocators import ALLOCATORS
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.explore.cases import Case
    from ticketsvc.lab.explore.explorer import explore as run_exploration
    from ticketsvc.lab.explore.lock_watch import CouldNotTell

    mechanism = ALLOCATORS[among(ALLOCATORS, "--allocator", allocator)].mechanism
    used = schema_of(mechanism, schema)
    if not is_quantity(quantity):
        raise UsageError(f"--quantity {quantity}: {QUANTITY_RULE}")
    held = mechanism.safe if hold_commits is None else hold_commits
    case = Case(allocator, used, buyers, total, quantity, together, held)
    with kept_database() as url:
        if replay is not None:
            _replay(url, case, replay, as_json)
        with counter("schedules") as advance:
            try:
                found = run_async(
                    run_exploration(
                        url,
                        case,
                        limit=limit or _LIMIT,
                        alike=True,
                        on_run=lambda run: advance(run.represents),
                        **search,
                    )
                )
            except CouldNotTell as problem:
                could_not_tell(problem, as_json)
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        _print(found)
    proved = found.complete and found.succeeded
    code = VIOLATION if found.violating else CLEAN if proved else COULD_NOT_TELL
    raise click.exceptions.Exit(code)


def _replay(url: str, case: "Case", word: str, as_json: bool) -> NoReturn:
    from ticketsvc.lab.explore.explorer import replay
    from ticketsvc.lab.explore.schedules import choices_of
    from ticketsvc.lab.explore.transcripts import COLUMNS, endings, rows

    run = run_async(replay(url, case, choices_of(word, case.buyers)))
    if run is None:
        raise UsageError(
            f"--replay {word}: no schedule of this case; use the allocator, schema, buyers, "
            "total, quantity and commits with which the id was shown"
        )
    if as_json:
        steps = [dict(zip(COLUMNS, row, strict=True)) for row in rows(run)]
        print(json.dumps({"id": run.id, "steps": steps, "endings": endings(run)}))
    else:
        print_table(COLUMNS, rows(run))
        print(f"schedule {run.id}: " + "; ".join(endings(run)))
    raise click.exceptions.Exit(CLEAN if run.verdict.clean else VIOLATION)


def _print(found: "Exploration") -> None:
    case = found.case
    print(
        f"{case.allocator} on {case.schema}: {case.buyers * case.together} purchases of "
        f"{case.quantity} tickets, {case.total} tickets in all"
    )
    refused = "a buyer was refused although enough tickets were left"
    print_counts(found, [(found.refused_with_stock, refused)])
    for kind, ids in found.ids.items():
        more = f"  (also {', '.join(ids[1:])})" if ids[1:] else ""
        print(f"{kind}: --replay {ids[0]}{more}")
    print(_conclusion(found))


def _conclusion(found: "Exploration") -> str:
    from ticketsvc.lab.explore.transcripts import every

    if not found.succeeded:
        return "nobody got a ticket in any of them: that shows nothing"
    if found.sampled:
        return (
            f"{found.schedules:,} random schedules, {found.violating or 'none'} bad; a sample "
            f"cannot prove the rest (with 95 % confidence, at most {found.bound:.2%} are bad)"
        )
    if not found.complete:
        return "stopped at --limit: not every schedule is covered"
    if not found.violating:
        return f"{every(found.schedules).lower()} covered, and clean"
    return (
        f"{every(found.schedules).lower()} covered: {found.clean:,} clean, "
        f"{found.violating:,} violate the invariant"
    )
