"""What breaks loses nothing, and controls that show it could.

Notebook 09, which the tests run, injects every fault with keys, and loses purchases without keys
and without the flush: its verdict fails when one of these is not seen.
"""

import functools

from tests.support.commands import json_of
from ticketsvc.lab.faults import overload
from ticketsvc.lab.faults.experiment import run_fault_experiments
from ticketsvc.lab.faults.records import FaultExperiment


async def test_without_keys_rows_are_sold_twice_and_without_a_retry_buyers_never_know():
    """Negative controls of the keys, for purchases stored as rows, and of trying again."""
    dropped = {"fault": "answer_dropped", "times": 1, "between": 40}
    rows = {"allocators": ("ticket_rows",), "processes": 1}
    twice, never = await run_fault_experiments(
        [
            FaultExperiment(**dropped, **rows, **without)
            for without in ({"keys": False}, {"retry": False})
        ]
    )
    assert twice.row()["sold_twice"] > 0
    assert (twice.verdict.status, twice.nothing_lost) == ("violated", False)
    assert never.row()["unresolved"] > 0
    assert (never.verdict.status, never.nothing_lost) == ("clean", False)  # some were sold


def test_the_command_injects_and_exits_0(cli_here):
    """Two instances that sell one event by rows and by group commit."""
    options = ("--kind", "answer_dropped", "--times", "1", "--json", "--instances", "2")
    mixed = ("--allocator", "ticket_rows", "--allocator", "group_commit")
    (row,) = json_of(cli_here("faults", *options, *mixed))
    assert (row["fault"], row["audit"], row["injections"]) == ("answer_dropped", "clean", 1)
    assert (row["lost"], row["sold_twice"], row["unresolved"]) == (0, 0, 0)
    assert row["retried"] > 0


async def test_a_failover_loses_nothing_that_a_synchronous_standby_confirmed():
    """With its negative control: a standby that lags loses what was acknowledged."""
    small = {"buyers": 4, "processes": 1, "between": 10}
    kept, lost = await run_fault_experiments(
        [FaultExperiment("failover", 1, synchronous=yes, **small) for yes in (True, False)]
    )
    assert (kept.nothing_lost, kept.row()["lost"], kept.row()["sold_twice"]) == (True, 0, 0)
    assert (lost.nothing_lost, lost.verdict.status) == (False, "violated")
    assert lost.row()["lost"] > 0


def test_the_command_overload_refuses_nothing_without_a_bound(cli_here, monkeypatch):
    """Negative control of the bound: in notebook 09 purchases beyond it are refused."""
    unbounded = functools.partial(overload.OverloadSpec, peak_s=0.5, max_waiting=5000)
    monkeypatch.setattr(overload, "OverloadSpec", unbounded)
    short = ("--times", "3", "--seconds", "1", "--flush-ms", "20")
    ended = cli_here("overload", "--json", *short)
    row = json_of(ended, ended.returncode)
    assert ended.returncode in (0, 3)  # 3: a busy machine offered less
    assert (row["audit"], row["refused"], row["refused_with"]) == ("clean", 0, "")
