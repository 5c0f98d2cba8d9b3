"""Every mechanism side by side: which of its schedules are clean, for few and many buyers."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import pandas as pd

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SchemaName
from ticketsvc.lab.explore.cases import Case
from ticketsvc.lab.explore.exploration import Exploration, explore
from ticketsvc.lab.explore.schedules import Run
from ticketsvc.service.event_loop import new_event_loop

STOCKS = ("none", "one", "all")
_FEW = 100  # schedules that one still looks at one by one
_AT_ONCE = 3  # processes; while one waits for a lock, another goes on


@dataclass(frozen=True)
class Exhibit:
    """A mechanism where nothing but itself keeps the ledger, if it can work there."""

    allocator: str
    schema: SchemaName

    @property
    def isolation(self) -> str:
        """The level its statements run at."""
        return ALLOCATORS[self.allocator].mechanism.isolation

    @property
    def safe(self) -> bool:
        """Whether it is one that may sell."""
        return ALLOCATORS[self.allocator].mechanism.safe


def exhibits() -> list[Exhibit]:
    """Return one per allocator: on the original schema where it works there, else on the fixed.

    The faithful naive is left out: it is naive_bulk with more steps.
    """
    return [Exhibit(name, _schema_of(name)) for name in ALLOCATORS if name != "naive"]


def _schema_of(name: str) -> SchemaName:
    return "original" if "original" in ALLOCATORS[name].mechanism.schemas else "fixed"


async def explore_all(
    url: str,
    chosen: Sequence[Exhibit],
    *,
    buyers: Sequence[int],
    quantity: int,
    limit: int,
) -> pd.DataFrame:
    """Explore each exhibit with each number of buyers, with stock for none, one and all.

    Several at a time, each in a process and a scratch database of its own.

    One row per case: mechanism, isolation, schema, safe, buyers, stock, then the counts of
    `Exploration` (schedules, classes, clean, turned_away, …) and whether it is complete.
    """
    cases = [(e, n, s) for e in chosen for n in buyers for s in STOCKS]
    # The longest first, so that none of them is left to run alone at the end.
    order = sorted(cases, key=lambda each: (each[1], STOCKS.index(each[2])), reverse=True)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(_AT_ONCE, mp_context=get_context("spawn")) as workers:
        ends = {
            each: loop.run_in_executor(workers, _explore, url, _case(*each, quantity), limit)
            for each in order
        }
        try:
            return pd.DataFrame([_row(each[0], each[2], await ends[each]) for each in cases])
        finally:
            workers.shutdown(wait=False, cancel_futures=True)


def _case(exhibit: Exhibit, buyers: int, stock: str, quantity: int) -> Case:
    total = {"none": 0, "one": quantity, "all": quantity * buyers}[stock]
    # Where nothing is right, the gap between statements is what there is to see.
    return Case(
        exhibit.allocator, exhibit.schema, buyers, total, quantity, hold_commits=exhibit.safe
    )


def _explore(url: str, case: Case, limit: int) -> Exploration:
    """Explore in this process."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(explore(url, case, limit=limit))


def _row(exhibit: Exhibit, stock: str, found: Exploration) -> dict[str, object]:
    return {
        "mechanism": exhibit.allocator,
        "isolation": exhibit.isolation,
        "schema": exhibit.schema,
        "safe": exhibit.safe,
        "buyers": found.case.buyers,
        "stock": stock,
        **{name: getattr(found, name) for name in _COUNTS},
        "sqlstates": ", ".join(sorted(found.sqlstates)),
        "complete": found.complete,
        "seconds": round(found.seconds, 2),
    }


_COUNTS = (
    "schedules",
    "classes",
    "clean",
    "turned_away",
    "oversold",
    "duplicate",
    "refused",
    "blocked",
    "retries",
)


@dataclass(frozen=True)
class BothWays:
    """A case explored reduced and, where schedules are few, in full; runs tell their ledgers."""

    reduced: Exploration
    full: Exploration | None

    @property
    def runs(self) -> list[Run]:
        """Return every schedule, or else one of each class."""
        return (self.full or self.reduced).runs


async def explore_both_ways(
    url: str, *, buyers: int, total: int, quantity: int
) -> dict[str, BothWays]:
    """Explore every allocator reduced, and in full where that is a hundred schedules at most."""
    found = {}
    for name in ALLOCATORS:
        exhibit = Exhibit(name, _schema_of(name))
        case = Case(name, exhibit.schema, buyers, total, quantity, hold_commits=exhibit.safe)
        reduced = await explore(url, case, keep=True, tell=True)
        few = reduced.schedules <= _FEW
        full = await explore(url, case, full=True, keep=True, tell=True) if few else None
        found[name] = BothWays(reduced, full)
    return found


def compared(both: Mapping[str, BothWays]) -> pd.DataFrame:
    """Hold what was found both ways together: one row per allocator explored in full.

    An outcome is all that buyers were told and all that is in the ledger, who waited and who
    tried again; with each, the number of schedules that end in it. Columns: mechanism,
    classes, schedules, in_full (executed one by one), outcomes, same.
    """
    return pd.DataFrame(
        [
            {
                "mechanism": name,
                "classes": one.reduced.classes,
                "schedules": one.reduced.schedules,
                "in_full": one.full.classes,
                "outcomes": len(outcomes(one.full)),
                "same": outcomes(one.reduced) == outcomes(one.full),
            }
            for name, one in both.items()
            if one.full
        ]
    )


# What is said of what people try first, here and there; the table sets it against what happens.
_BELIEFS = {
    "transaction": "BEGIN and COMMIT are enough: nobody sees half a purchase",
    "repeatable_read": "REPEATABLE READ oversells just as READ COMMITTED does",
    "unique_only": "unique numbers mean that nothing can be oversold",
}


def near_misses(table: pd.DataFrame) -> pd.DataFrame:
    """Set what people believe against what happened, in *table* as `explore_all` gives it.

    One row per near miss: believed, then, over the cases with a stock for one and for all,
    the fractions of schedules that oversell, issue a number twice and turn a buyer away with
    tickets left, and the SQLSTATEs seen.
    """
    rows = []
    for name, belief in _BELIEFS.items():
        cases = table[(table["mechanism"] == name) & (table["stock"] != "none")]
        by_stock = cases.groupby("stock")[list(_COUNTS)].sum()
        short, enough = by_stock.loc["one"], by_stock.loc["all"]
        rows.append(
            {
                "mechanism": name,
                "isolation": cases["isolation"].iloc[0],
                "people believe": belief,
                "oversells (stock for one)": f"{short['oversold'] / short['schedules']:.1%}",
                "duplicates (stock for all)": f"{enough['duplicate'] / enough['schedules']:.1%}",
                "turns away (stock for all)": f"{enough['turned_away'] / enough['schedules']:.1%}",
                "SQLSTATEs": ", ".join(sorted(set(filter(None, cases["sqlstates"])))) or "none",
            }
        )
    return pd.DataFrame(rows)


def outcomes(found: Exploration) -> dict[tuple[object, ...], int]:
    """Count the schedules of each outcome; the runs must have been kept."""
    counted: dict[tuple[object, ...], int] = {}
    for run in found.runs:
        counted[run.outcome] = counted.get(run.outcome, 0) + run.stands_for
    return counted


def bad_fractions(table: pd.DataFrame, mechanism: str) -> pd.DataFrame:
    """Return the fraction of schedules that break the invariant, with stock for all.

    Columns: buyers, schedules, fraction.
    """
    cases = table[(table["mechanism"] == mechanism) & (table["stock"] == "all")]
    return pd.DataFrame(
        {
            "buyers": cases["buyers"],
            "schedules": cases["schedules"],
            "fraction": 1 - cases["clean"] / cases["schedules"],
        }
    ).sort_values("buyers", ignore_index=True)


def oversells(table: pd.DataFrame, mechanism: str) -> bool:
    """Tell whether any schedule of *mechanism* issues more tickets than there are."""
    return bool(table.loc[table["mechanism"] == mechanism, "oversold"].any())


def turns_away(table: pd.DataFrame, mechanism: str) -> bool:
    """Tell whether any schedule of *mechanism* refuses a buyer while enough tickets are left."""
    return bool(table.loc[table["mechanism"] == mechanism, "turned_away"].any())
