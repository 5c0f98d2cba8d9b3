"""Each claim of a verdict turns false when a number behind it changes: small evidence, by story.

A claim of safety turns false for the evidence of what it denies, and no other claim does.
"""

import copy
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.support.claims import by_hand, unfalsified
from ticketsvc.lab.bench.throughput import Throughput
from ticketsvc.lab.checker.verdicts import EventVerdict, Violation
from ticketsvc.lab.experiments import scale
from ticketsvc.lab.experiments.repair import Repair
from ticketsvc.lab.experiments.scale import CommitCost
from ticketsvc.lab.story import (
    more_than_one_machine,
    reproduce,
    root_cause,
    seed,
    several_instances,
    the_fix,
    throughput,
    what_survives,
    which_schedules,
    write_volume,
)
from ticketsvc.lab.workload.history import Attempt


def table(columns, *rows, **same):
    """Return a table of *rows*, whose *columns* are named in one line, and what is the *same*."""
    return pd.DataFrame(rows, columns=columns.split()).assign(**same)


def run(*, clean):
    """Return a schedule that is clean exactly when it is serial, as those of naive are."""
    return SimpleNamespace(serial=clean, verdict=SimpleNamespace(clean=clean), represents=1)


SIX = pd.DataFrame(
    {"total": 16, "available": 8, "issued": 8, "unique": 8, "clean": True}, index=range(6)
)
BURSTS = pd.DataFrame(
    {
        "purchases": 30,
        "quantity": 8,
        "total": 8,
        "successes": 30,
        "unknown": 0,
        "tickets": 240,
        "unique": 8,
        "duplicates": 232,
        "available": -232,
        "oversold": True,
    },
    index=range(2),
)
PLENTY = BURSTS.assign(total=400, available=160, oversold=False)
AFTER = pd.DataFrame(
    {
        "processes": 2,
        "purchases": 30,
        "quantity": 8,
        "total": 84,
        "successes": 10,
        "refused": 20,
        "tickets": 80,
        "duplicates": 0,
        "available": 4,
        "clean": True,
    },
    index=range(2),
)
DAMAGED = EventVerdict("E", duplicates=8, violations=(Violation("duplicate", 8, "twice"),))
SOLD = [Attempt(user, "", user, "E", 1, 0.0, 1.0, "ok", tickets=(1,)) for user in ("ann", "bob")]
GUARDS = pd.DataFrame({"valid": ["t"]})
COUNTS = "oversold duplicate refused refused_with_stock blocked retries"
MEASURED = Throughput(
    table(
        "name connections goodput_per_s transactions wal_bytes",
        ("ticket_rows", 64, 200.0, 1.0, 1800.0),
        ("range", 64, 300.0, 1.0, 400.0),
        ("group_commit", 64, 2000.0, 0.1, 200.0),
        ("group_commit", 1, 100.0, 1.0, 400.0),
        kind="allocator",
        audit="clean",
    ),
    table(
        "durable at_risk_purchases",
        (True, 1.0),
        (False, 100.0),
        name="range",
        kind="allocator",
        audit="clean",
        goodput_per_s=300.0,
    ),
    table(
        "allocator connections purchases commits",
        ("range", 64, 1, 50),
        ("group_commit", 64, 10, 5),
        ("group_commit", 1, 1, 20),
    ),
)
OVERLOADED = {
    "offered": 700,
    "refused": 500,
    "refused_with": "503",
    "sold": 200,
    "max_waiting": 100,
    "refused_p50_ms": 2.0,
    "sold_p50_ms": 900.0,
    "audit": "clean",
}

CASES = {
    seed.claims: {
        "pools": pd.concat([SIX.assign(schema=name) for name in ("original", "fixed")]),
        "same_tickets": True,
    },
    reproduce.claims: {
        "by_hand": by_hand([1, 1], -1, "1 row"),
        "bursts": BURSTS,
        "every": pd.concat([BURSTS, PLENTY], ignore_index=True),
        "violations": table("kind cause", ("duplicate", "race")),
    },
    root_cause.claims: {
        "by_hand": by_hand([1], 0),
        "burst": DAMAGED,
        "steps": table(
            "step ended_ms read_available stale_by",
            ("read_pool", 1.0, 8, None),
            ("read_pool", 2.0, 8, None),
            ("decrement", 3.0, None, 0),
            ("decrement", 4.0, None, 1),
        ),
        "by_purchases": table(
            "purchases pool_size damaged", (1, 1, 0), (1, 10, 0), (10, 1, 20), (10, 10, 20)
        ),
    },
    the_fix.claims_of_the_statement: {
        "by_hand": by_hand([1], 0, "waits for A", "goes on: no row"),
        "before": BURSTS,
        "after": AFTER,
    },
    the_fix.claims_of_the_schema: {
        "caught": table("duplicates oversold issued total", (0, False, 8, 8)),
        "answers": pd.DataFrame({"message": ["refused by issued_tickets_pkey"]}),
        "tried": table(
            "write allowed refused constraint",
            ("range inside", False, True, "pkey"),
            ("the next range", True, False, ""),
        ),
    },
    the_fix.claims_of_the_choice: {
        "fixes": table("schedules clean", (8, 8)).assign(
            **{"a buyer waits": 6, "a buyer tries again": 0}
        ),
        "costs": pd.DataFrame(
            {"refused": [9, 0], "clean": [False, True]}, index=["naive", "range"]
        ),
    },
    the_fix.claims_of_the_repair: {
        "repaired": Repair(
            before=DAMAGED,
            after=EventVerdict("E", issued=2),
            found=GUARDS,
            plan=GUARDS,
            guards=GUARDS,
            planned=frozenset({"ann", "bob"}),
            history=SOLD,
            during=SOLD,
        )
    },
    several_instances.claims: {
        "in_memory": [True, True],
        "by_hand": by_hand([], 0, "waits for A", "goes on: available = 0"),
        "before": BURSTS,
        "after": AFTER,
        "shares": pd.DataFrame({1: [15], 2: [15]}),
        "sales": table(
            "allocator process number",
            *[("naive", 1, 1), ("naive", 2, 1), ("range", 1, 1000), ("range", 2, 1)],
        ),
    },
    write_volume.claims: {
        "volumes": table(
            "allocator stores quantity wal_bytes ledger_rows",
            ("ticket_rows", "rows", 8, 1_000.0, 8),
            ("ticket_rows", "rows", 128, 16_000.0, 128),
            ("range", "ranges", 8, 300.0, 1),
            ("range", "ranges", 128, 300.0, 1),
            checkpoint=False,
            clean=True,
        ),
        "written": pd.DataFrame({"records": [128, 1]}),
        "nets": table(
            "net batch wal_bytes",
            *[("none", 1, 100.0), ("chain", 1, 300.0), ("sequence_trigger", 1, 200.0)],
            *[("none", 50, 90.0), ("chain", 50, 290.0), ("sequence_trigger", 50, 190.0)],
        ),
        "view": pd.DataFrame({"ticket_number": range(1, 17)}),
        "small": 8,
        "large": 128,
    },
    which_schedules.claims_of_naive: {
        "explored": {
            "naive_bulk": SimpleNamespace(runs=[run(clean=True), run(clean=False)]),
            "naive": SimpleNamespace(runs=[run(clean=True)] * 2 + [run(clean=False)]),
        },
        "schedules": table("class clean", (1, True), (2, False), (2, False)),
    },
    which_schedules.claims_of_mechanisms: {
        "table": table(
            f"mechanism safe sqlstates schedules clean {COUNTS}",
            ("transaction", False, "", 20, 2, 18, 18, 0, 0, 0, 0),
            ("unique_only", False, "", 20, 2, 18, 0, 0, 0, 0, 0),
            ("repeatable_read", False, "40001", 20, 20, 0, 0, 18, 18, 18, 0),
            ("range", True, "", 6, 6, 0, 0, 6, 0, 4, 0),
            complete=True,
        )
    },
    which_schedules.claims_of_the_method: {
        "compared": table("mechanism same", ("naive, 2 tickets each", True)),
        "mutants": pd.DataFrame({"caught by": ["explorer", "checker"]}),
        "drawn": SimpleNamespace(violating=0),
        "batches": SimpleNamespace(complete=True, violating=0, blocked=4),
    },
    throughput.claims: {"measured": MEASURED, "at": 64, "few": 1},
    throughput.claims_of_speed: {
        "measured": MEASURED,
        "predictions": table(
            "allocator predicted_per_s measured_per_s",
            ("ticket_rows", 150.0, 200.0),
            ("range", 250.0, 300.0),
            ("group_commit", 4000.0, 2000.0),
        ),
        "at": 64,
    },
    what_survives.claims_of_keys: {
        "asked": pd.DataFrame({"tickets held": [8, 16]}, index=["with a key", "without"]),
        "keyed": table(
            "fault restarts",
            ("server_kill", 2),
            ("database_crash", 0),
            **{"injections": 2, "retried": 5, "oversold": False, "duplicates": 0},
            **{"sold_twice": 0, "lost": 0, "unresolved": 0, "refused": 0, "audit": "clean"},
        ),
        "without": table("fault sold_twice", ("answer_dropped", 3), ("database_freeze", 3)),
        "times": 2,
    },
    what_survives.claims_of_the_flush: {
        "crashed": table("durable lost duplicates", (False, 7, 0), (True, 0, 0))
    },
    what_survives.claims_of_overload: {"rate": OVERLOADED},
    what_survives.claims_of_speed: {"rate": OVERLOADED},
    more_than_one_machine.claims_of_the_run: {
        "one": pd.DataFrame({"rows": [1, 8], "tickets": [8, 8], "clean": True}),
        "mixed": SimpleNamespace(
            sold=pd.DataFrame({"tickets": [8, 8]}),
            verdict=SimpleNamespace(clean=True),
            expanded=8,
            after=SimpleNamespace(ranges_left=0),
        ),
        "instances": 2,
        "could_be_sold": 16,
    },
    more_than_one_machine.claims_of_speed: {
        "cost": CommitCost(fixed_s=1e-3, each_s=1e-5),
        "batch": 64,
        "compared": table("simulated_s measured_s", (1.0, 1.1), (0.1, 0.1)),
    },
    more_than_one_machine.claims_of_the_calculation: {
        "plans": pd.DataFrame(
            {"stadium": [2, 0.1], "largest reported": [50_000, 3.0]},
            index=["cores for requests", scale.ALL],
        ),
    },
}


# What a claim of safety denies (in a table: in its last row), and that claim.
UNSAFE = {
    seed.claims: {
        ("pools.unique", 7): "every number is issued once",
        ("pools.clean", False): "the audit finds every event clean",
    },
    the_fix.claims_of_the_statement: {("after.clean", False): "after: every ledger is clean"},
    the_fix.claims_of_the_schema: {
        ("caught.oversold", True): "naive on the fixed schema: no duplicate, no oversell",
        ("caught.duplicates", 1): "naive on the fixed schema: no duplicate, no oversell",
        ("caught.issued", 9): "naive on the fixed schema: no duplicate, no oversell",
    },
    the_fix.claims_of_the_choice: {
        ("fixes.clean", 7): "each fix: clean in every schedule of two purchases",
        ("costs.clean", False): "each fix: clean after all sales",
    },
    the_fix.claims_of_the_repair: {
        ("repaired.planned", frozenset({"ann"})): "every holder of a shared number is in the plan",
        ("repaired.after.issued", 1): "all tickets that were sold are issued",
    },
    several_instances.claims: {
        ("after.duplicates", 8): "80 tickets, all different, in every burst",
        ("after.clean", False): "every ledger is clean",
        ("sales.number", 1000): "after, no number comes from two",
    },
    which_schedules.claims_of_mechanisms: {
        ("table.clean", 5): "safe allocators: no violation in any of them"
    },
    which_schedules.claims_of_the_method: {
        ("drawn.violating", 1): "the sample of four buyers found no damage"
    },
    throughput.claims: {
        ("measured.by_connections.audit", "violated"): (
            "every ledger is clean and agrees with the clients"
        ),
        ("measured.durability.audit", "violated"): (
            "every ledger is clean and agrees with the clients"
        ),
    },
    what_survives.claims_of_keys: {
        ("keyed.oversold", True): "with keys: nothing oversold",
        ("keyed.duplicates", 1): "with keys: no number issued twice",
        ("keyed.sold_twice", 1): "with keys: no purchase sold twice",
        ("keyed.lost", 1): "with keys: no acknowledged purchase lost",
        ("keyed.audit", "violated"): (
            "with keys: every ledger is clean and agrees with the buyers"
        ),
    },
    what_survives.claims_of_the_flush: {
        ("crashed.lost", 1): "with the flush: crashes lose no acknowledged purchase",
        ("crashed.duplicates", 1): "even then no number is held twice",
    },
    what_survives.claims_of_overload: {("rate.audit", "violated"): "overload: the ledger is clean"},
    more_than_one_machine.claims_of_the_run: {
        ("mixed.sold.tickets", 16): "every ticket that could be sold was sold once",
        ("mixed.verdict.clean", False): "the ledger is clean and agrees with every buyer",
    },
}


def with_value(evidence, path, value):
    """Return a copy of *evidence* with *value* at *path*; in a table, in its last row."""
    name, _, rest = path.partition(".")
    made = copy.copy(evidence)
    if isinstance(made, pd.DataFrame):
        made.iloc[-1, made.columns.get_loc(name)] = value
        return made
    inside = made if isinstance(made, dict) else vars(made)
    inside[name] = with_value(inside[name], rest, value) if rest else value
    return made


@pytest.mark.parametrize(
    ("claims", "path", "value", "broken"),
    [(claims, *bad, broken) for claims in UNSAFE for bad, broken in UNSAFE[claims].items()],
)
def test_bad_evidence_breaks_the_claim_that_denies_it_and_no_other(claims, path, value, broken):
    held = claims(**with_value(CASES[claims], path, value))
    assert [text for text, holds in held.items() if not holds] == [broken]


@pytest.mark.parametrize("claims", CASES, ids=lambda claims: f"{claims.__module__}")
def test_each_claim_turns_false_when_a_number_changes(claims):
    assert unfalsified(claims, CASES[claims]) == []


def test_a_claim_that_cannot_fail_is_found():
    assert unfalsified(lambda n: {"it is two": n == 2, "always": True}, {"n": 2}) == ["always"]
