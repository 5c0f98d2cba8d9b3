"""`explore`: every interleaving of a few purchases."""

import json
from typing import TYPE_CHECKING, Any

import click

from ticketsvc.cli.console import counter, print_facts, print_table
from ticketsvc.cli.root import (
    CLEAN,
    COULD_NOT_TELL,
    VIOLATION,
    as_json_option,
    chosen_schema,
    run_async,
    ticketsvc,
)
from ticketsvc.errors import UsageError
from ticketsvc.purchases import QUANTITY_RULE, is_quantity
from ticketsvc.settings import load_settings

if TYPE_CHECKING:
    from ticketsvc.lab.explore.cases import Case
    from ticketsvc.lab.explore.exploration import Exploration
    from ticketsvc.lab.explore.schedules import Run


@ticketsvc.command()
@click.option("--allocator", default="naive", show_default=True, help="How tickets are allocated.")
@click.option("--schema", help="original or fixed; where the allocator belongs if not given.")
@click.option("--buyers", type=click.IntRange(1, 6), default=2, show_default=True)
@click.option("--total", type=click.IntRange(0, 1_000_000), default=8, show_default=True)
@click.option("--quantity", type=int, default=8, show_default=True, help="Tickets per purchase.")
@click.option(
    "--together",
    type=click.IntRange(1, 4),
    default=1,
    show_default=True,
    help="Purchases that arrive at once at each buyer's server, which has one connection.",
)
@click.option(
    "--hold-commits/--no-hold-commits",
    default=None,
    help="A statement and its commit as two steps. Default: for the right allocators.",
)
@click.option("--full", is_flag=True, help="Every schedule, not one of each class.")
@click.option("--sample", type=click.IntRange(1, 10_000_000), help="So many at random instead.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the sample.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=250_000,
    show_default=True,
    help="Execute no more schedules than this.",
)
@click.option("--replay", metavar="ID", help="Show one schedule, step by step.")
@click.option(
    "--beside-isolationtester",
    is_flag=True,
    help="Also time PostgreSQL's isolation tester (naive_bulk only).",
)
@as_json_option
def explore(
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
    limit: int,
    replay: str | None,
    beside_isolationtester: bool,
    as_json: bool,
) -> None:
    """Drive an allocator through every interleaving of a few purchases.

    Exit 0: all schedules accounted for and clean, 1: some are not, 3: could not tell, as when
    they are too many or nobody could buy. Counts are of schedules.
    """
    from ticketsvc.allocators import ALLOCATORS
    from ticketsvc.database.locate import kept_database
    from ticketsvc.lab.explore.cases import Case, NotRepeatable
    from ticketsvc.lab.explore.exploration import explore as run_exploration

    if allocator not in ALLOCATORS:
        raise UsageError(f"--allocator {allocator!r}: must be one of {', '.join(ALLOCATORS)}")
    mechanism = ALLOCATORS[allocator].mechanism
    used = chosen_schema(schema or mechanism.schemas[0])
    if used not in mechanism.schemas:
        raise UsageError(f"--schema {used}: {allocator} works on {' or '.join(mechanism.schemas)}")
    if not is_quantity(quantity):
        raise UsageError(f"--quantity {quantity}: {QUANTITY_RULE}")
    if sum((full, sample is not None, replay is not None)) > 1:
        raise UsageError("--full, --sample and --replay exclude each other")
    if beside_isolationtester and (allocator != "naive_bulk" or used != "original"):
        raise UsageError("--beside-isolationtester goes with --allocator naive_bulk")
    held = mechanism.safe if hold_commits is None else hold_commits
    case = Case(allocator, used, buyers, total, quantity, together, held)
    with kept_database(load_settings()) as url:
        if replay is not None:
            _replay(url, case, replay, as_json)
            return
        with counter("schedules") as advance:
            try:
                found = run_async(
                    run_exploration(
                        url,
                        case,
                        full=full,
                        sample=sample or 0,
                        seed=seed,
                        limit=limit,
                        on_run=lambda run: advance(run.stands_for),
                    )
                )
            except NotRepeatable as problem:
                _could_not_tell(str(problem), as_json)
        facts = found.as_dict()
        if beside_isolationtester:
            facts |= _beside(url, case, facts)
    _print(found, facts, as_json)
    told = found.complete and found.selling
    code = VIOLATION if found.violating else CLEAN if told else COULD_NOT_TELL
    raise click.exceptions.Exit(code)


def _beside(url: str, case: "Case", facts: dict[str, Any]) -> dict[str, Any]:
    from ticketsvc.lab.explore.isolation_tester import run_tester

    tester = run_tester(url, buyers=case.buyers, total=case.total, quantity=case.quantity)
    rate = tester.permutations / tester.seconds
    return {
        "isolationtester_permutations": tester.permutations,
        "isolationtester_per_second": round(rate, 1),
        "ratio_accounted": round(facts["per_second"] / rate, 2),
        "ratio_executed": round(facts["executed_per_second"] / rate, 2),
    }


def _replay(url: str, case: "Case", word: str, as_json: bool) -> None:
    from ticketsvc.lab.explore.exploration import replay
    from ticketsvc.lab.explore.schedules import choices_of
    from ticketsvc.lab.explore.transcripts import COLUMNS, endings, rows

    run: Run | None = run_async(replay(url, case, choices_of(word, case.buyers)))
    if run is None:
        raise UsageError(
            f"--replay {word}: no schedule of this case; give the allocator, schema, buyers, "
            "total, quantity and commits with which the id was shown"
        )
    if as_json:
        steps = [dict(zip(COLUMNS, row, strict=True)) for row in rows(run)]
        print(json.dumps({"id": run.id, "steps": steps, "endings": endings(run)}))
    else:
        print_table(COLUMNS, rows(run))
        print(f"schedule {run.id}: " + "; ".join(endings(run)))
    raise click.exceptions.Exit(CLEAN if run.verdict.clean else VIOLATION)


def _could_not_tell(reason: str, as_json: bool) -> None:
    from ticketsvc.cli.console import complain

    if as_json:
        print(json.dumps({"error": reason, "code": "could_not_tell"}))
    complain(f"could not tell: {reason}")
    raise click.exceptions.Exit(COULD_NOT_TELL)


def _print(found: "Exploration", facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps({**facts, "examples": found.examples}))
        return
    shown = {name: value for name, value in facts.items() if name != "bound"}
    print_facts(
        f"{found.case.buyers} purchases by {found.case.allocator}",
        {name: f"{n:,}" if type(n) is int else n for name, n in shown.items()},
    )
    for kind, word in found.examples.items():
        print(f"for one that ends {kind}: --replay {word}")
    if not found.selling:
        print("nobody was sold a ticket in any of them: that shows nothing")
    if found.sampled:
        print(
            f"a sample: of all schedules, at most {found.bound:.2%} do damage, as they are drawn "
            "here (95 % confidence)"
        )
    elif not found.complete:
        print("not all schedules: stopped at --limit; how many there are is not known")
    else:
        print(
            f"all {found.schedules:,} schedules accounted for: {found.clean:,} clean, "
            f"{found.violating:,} break the invariant"
        )
