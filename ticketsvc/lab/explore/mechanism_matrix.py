"""The mechanism matrix: which schedules of each mechanism are clean, by buyers and stock."""

import asyncio
from collections.abc import Sequence

import pandas as pd

from ticketsvc.allocators import ALLOCATORS, SAFE, Mechanism
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.exploration import Exploration
from ticketsvc.lab.explore.explorer import open_explorer
from ticketsvc.lab.explore.schedules import Run

MECHANISMS = tuple(name for name in ALLOCATORS if name != "naive")
"""All but `naive`, which is `naive_bulk` with more steps."""

STOCKS = ("none", "one", "all")
_EXPLORERS = 4  # while one waits for the server, another goes on


def matrix_case(name: str, buyers: int, total: int, quantity: int) -> Case:
    """Return the case of the allocator *name*, on its plainest schema.

    Commits are held for safe mechanisms. Where nothing is safe, the gap between two statements
    already shows it.
    """
    mechanism = ALLOCATORS[name].mechanism
    return Case(
        name, mechanism.plainest_schema, buyers, total, quantity, hold_commits=mechanism.safe
    )


async def explore_matrix(
    url: str, *, buyers: Sequence[int], quantity: int, limit: int
) -> pd.DataFrame:
    """Explore each of `MECHANISMS` with each number of buyers, and stock for none, one and all.

    Several explorers share the cases; each has a scratch database of its own. At most *limit*
    schedules of a case are executed.

    One row per case: mechanism, isolation, schema, safe, buyers, stock, and the counts of
    `Exploration` (schedules, classes, clean, …, and whether every schedule is covered).
    """
    cases = [
        (stock, matrix_case(name, number, total, quantity))
        for name in MECHANISMS
        for number in buyers
        for stock, total in zip(STOCKS, (0, quantity, quantity * number), strict=True)
    ]
    found: dict[int, Exploration] = {}

    def length(place: int) -> tuple[int, str, int]:
        case = cases[place][1]
        return case.buyers, _mechanism(case).isolation, case.total

    # The longest is taken first, so that none of them is left to run alone at the end.
    waiting = sorted(range(len(cases)), key=length)

    async def work() -> None:
        async with open_explorer(url) as explorer:
            while waiting:
                place = waiting.pop()
                found[place] = await explorer.explore(cases[place][1], limit=limit, alike=True)
                count()

    with counted("cases", len(cases)) as count:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_EXPLORERS, len(cases))):
                group.create_task(work())
    return pd.DataFrame(
        [_row(stock, case, found[place]) for place, (stock, case) in enumerate(cases)]
    )


def _mechanism(case: Case) -> Mechanism:
    return ALLOCATORS[case.allocator].mechanism


async def explore_fixes(url: str) -> pd.DataFrame:
    """Explore two purchases of 8, with stock for both, by each safe allocator; one row each.

    *what you change*: in a service that checks and then acts. *steps*: what one purchase does when
    it is alone, its commit included. *a buyer tries again*: it runs its first statement twice.
    """
    fixes = [ALLOCATORS[name].mechanism for name in SAFE]
    async with open_explorer(url) as explorer:
        found = [await explorer.explore(matrix_case(name, 2, 16, 8), keep=True) for name in SAFE]
    table = pd.DataFrame(
        {
            "what you change": fix.change or fix.summary,
            "allocator": fix.name,
            "steps": one.runs[0].choices.count(0),
            "schedules": one.schedules,
            "clean": one.clean,
            "a buyer waits": one.blocked,
            "a buyer tries again": sum(run.represents for run in one.runs if _tries_again(run)),
        }
        for fix, one in zip(fixes, found, strict=True)
    )
    return table.set_index("what you change")


def _tries_again(run: Run) -> bool:
    """Return whether a session ran its first statement again."""
    names = [[one.name for one in run.steps if one.session == n] for n in range(len(run.names))]
    return any(name[0] in name[1:] for name in names)


def _row(stock: str, case: Case, found: Exploration) -> dict[str, object]:
    return {
        "mechanism": case.allocator,
        "isolation": _mechanism(case).isolation,
        "schema": case.schema,
        "safe": _mechanism(case).safe,
        "buyers": case.buyers,
        "stock": stock,
        **found.counted(),
        **{kind: found.violations[kind] for kind in ("oversold", "duplicate")},
        "refused_with_stock": found.refused_with_stock,
        "kinds": found.kinds,
        "sqlstates": ", ".join(sorted(found.sqlstates)),
    }


def mechanisms() -> pd.DataFrame:
    """Return what each allocator does to keep two purchases apart, and whether it is safe."""
    every = [one.mechanism for one in ALLOCATORS.values()]
    rows = [(one.name, one.summary, "yes" if one.safe else "no") for one in every]
    return pd.DataFrame(rows, columns=["allocator", "what it does", "safe"])


# What is often said of three mechanisms; the table shows it beside what happens.
_CLAIMS = {
    "transaction": "BEGIN and COMMIT are enough: nobody sees half a purchase",
    "repeatable_read": "REPEATABLE READ oversells just as READ COMMITTED does",
    "unique_only": "unique numbers mean that nothing can be oversold",
}


def near_misses(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is often said of each near miss beside what two buyers' schedules show.

    *table*: as `explore_matrix` returns it, with two buyers. One row per mechanism: how many
    schedules oversell, issue a number twice, refuse a buyer with tickets left; the SQLSTATEs.
    """
    rows = []
    for name, claim in _CLAIMS.items():
        cases = table[(table["mechanism"] == name) & (table["buyers"] == 2)].set_index("stock")
        one, enough = cases.loc["one"], cases.loc["all"]
        seen = {state for state in cases["sqlstates"] if state}
        rows.append(
            {
                "allocator": name,
                "isolation": one["isolation"],
                "often said": claim,
                "oversells (stock for one)": _of(one, "oversold"),
                "duplicates (stock for both)": _of(enough, "duplicate"),
                "refuses with stock (stock for both)": _of(enough, "refused_with_stock"),
                "SQLSTATEs": ", ".join(sorted(seen)) or "none",
            }
        )
    return pd.DataFrame(rows)


def _of(case: "pd.Series[int]", count: str) -> str:
    return f"{case[count]:,} of {case['schedules']:,}"
