"""Whatever breaks, nothing is lost, sold twice or left open; and controls that show it could be."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.processes import family, gone
from ticketsvc.lab.faults.experiment import run_fault_experiments
from ticketsvc.lab.faults.faults import FAULTS
from ticketsvc.lab.faults.overload import OverloadSpec, run_overload
from ticketsvc.lab.faults.records import FaultExperiment


def experiment(fault, **changes):
    return FaultExperiment(fault, **{"times": 1, "between": 40, **changes})


async def test_with_keys_nothing_is_lost():
    for result in await run_fault_experiments([experiment(fault) for fault in FAULTS]):
        row = result.row()
        assert result.nothing_lost, (row, result.verdict.violations)
        assert row["acknowledged"] == row["purchases"] >= 80
        assert row["retried"] > 0  # the fault did interrupt a purchase
        assert (row["restarts"] > 0) == (row["fault"] == "server_kill")


async def test_without_keys_trying_again_buys_twice():
    """Negative control of the keys, for purchases stored as ranges and as rows."""
    for result in await run_fault_experiments(
        [
            experiment("answer_dropped", keys=False),
            experiment("database_freeze", keys=False),
            experiment("answer_dropped", keys=False, allocator="ticket_rows"),
        ]
    ):
        assert result.row()["sold_twice"] > 0, result.row()
        assert result.verdict.status == "violated"
        assert not result.nothing_lost


async def test_without_the_flush_acknowledged_purchases_are_lost():
    """Negative control of durability."""
    [result] = await run_fault_experiments([experiment("database_crash", durable=False)])
    assert result.row()["lost"] > 0
    assert "acknowledged_missing" in {one.kind for one in result.verdict.violations}
    assert not result.nothing_lost


async def test_a_buyer_who_does_not_try_again_never_knows():
    [result] = await run_fault_experiments([experiment("answer_dropped", retry=False)])
    assert result.row()["unresolved"] > 0
    assert result.verdict.clean  # some of these purchases were sold
    assert not result.nothing_lost


def test_the_command_injects_and_exits_0(cli):
    answer = cli("faults", "--kind", "answer_dropped", "--times", "1", "--json")
    assert answer.returncode == 0, answer.stderr
    (row,) = json.loads(answer.stdout)
    assert (row["fault"], row["audit"], row["lost"], row["sold_twice"]) == (
        "answer_dropped",
        "clean",
        0,
        0,
    )


@pytest.mark.parametrize("wrong", [("--kind", "fire"), ("--allocator", "naive"), ("--times", "0")])
def test_wrong_options_are_refused_in_one_line(cli_here, wrong):
    refused = cli_here("faults", *wrong)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("bound", "refused"), [(10, True), (5000, False)])
async def test_beyond_the_bound_purchases_are_refused_and_the_others_sold(bound, refused):
    result = await run_overload(
        OverloadSpec(times=5, seconds=0.5, peak_s=0.5, flush_ms=20, max_waiting=bound)
    )
    row = result.row()
    assert result.verdict.clean
    assert row["of_peak"] > 0
    assert (row["refused"] > 0) == refused
    assert result.statuses == ([503] if refused else [])
    assert row["unknown"] == 0


def serves(process):
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        return "serve" in process.cmdline()


@pytest.mark.parametrize(
    ("command", "number", "words"),
    [
        ("faults", signal.SIGINT, ""),
        ("faults", signal.SIGTERM, "stopped by SIGTERM"),
        ("overload", signal.SIGTERM, "stopped by SIGTERM"),
        ("bench", signal.SIGTERM, "stopped by SIGTERM"),
    ],
)
def test_a_signal_ends_everything_that_was_started(open_folder, eventually, command, number, words):
    environment = {
        **os.environ,
        "TMPDIR": str(open_folder),
        "TICKETSVC_HOME": str(open_folder / "home"),
    }
    running = subprocess.Popen(
        [sys.executable, "-m", "ticketsvc", command],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: any(map(serves, family(running.pid))))
    started = family(running.pid)
    running.send_signal(number)
    _, errors = running.communicate()
    assert running.returncode == 128 + number
    assert words in errors
    assert len(errors.splitlines()) <= 1
    eventually(lambda: gone(started))
    assert not any(each.is_file() for each in open_folder.glob("ticketsvc-*/**/*"))
