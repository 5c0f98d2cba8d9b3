"""The scripts of `sql/repair`, on a database that is damaged.

Notebook 04, which the tests run, repairs an event that sells meanwhile.
"""

import asyncio
import contextlib

import pytest

from tests.support.waiting import TIMEOUT_S
from ticketsvc.errors import UsageError
from ticketsvc.lab.experiments import repair
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.experiments.repair import SCRIPTS, repair_while_selling, run_script

REFUNDED = "SELECT count(*) FROM original.ticket_repairs WHERE action = 'refund'"


@pytest.fixture
def lab(database):
    """A lab on an empty database."""
    opened = Lab(database)
    with contextlib.closing(opened.connection):
        yield opened


@pytest.fixture
def issue(connection):
    """Issue the numbers of an event, one ticket each to users u1, u2, … in this order."""

    def run(event, pool, numbers):
        if pool is not None:
            row = "INSERT INTO original.ticket_pools VALUES (%s, %s, %s)"
            connection.execute(row, [event, *pool])
        ticket = "INSERT INTO original.issued_tickets (event_id, user_id, ticket_number) VALUES "
        for place, number in enumerate(numbers, 1):
            connection.execute(ticket + "(%s, %s, %s)", [event, f"u{place}", number])

    return run


@pytest.mark.parametrize(
    ("pool", "numbers", "refunded"),
    [
        ((8, 8), [1, 2, 2, 1], 0),  # issued twice, and never subtracted
        ((3, -2), [1, 2, 3, 1, 2], 2),  # oversold, and issued twice
        ((4, 0), [3, 9, 0, 4], 0),  # out of range
        (None, [1, 2], 2),  # of no event
        ((8, 6), [2, 1], 0),  # the negative control: nothing is wrong
    ],
)
def test_each_kind_of_damage_is_found_and_repaired(lab, issue, pool, numbers, refunded):
    issue("E", pool, numbers)
    assert len(run_script(lab.url, "1-find")) == (pool != (8, 6))
    printed = [run_script(lab.url, script) for script in SCRIPTS]
    assert lab.connection.execute(REFUNDED).fetchone() == (refunded,)
    verdict = lab.audit("original", "E")
    assert verdict.clean or pool is None
    assert verdict.issued == len(numbers) - refunded
    assert printed[3]["valid"].eq("t").all()
    assert run_script(lab.url, "1-find").empty


def test_what_is_planned_anew_gets_numbers_that_are_free(lab, connection, issue):
    issue("E", (8, 6), [1, 1])
    run_script(lab.url, "2-plan")
    connection.execute("INSERT INTO original.issued_tickets VALUES (DEFAULT, 'E', 'late', 1)")
    for script in SCRIPTS[1:]:
        run_script(lab.url, script)
    assert lab.audit("original", "E").clean


def test_a_database_that_is_not_repaired_gets_no_guard_until_it_is(lab, issue):
    """The negative control, and what its unfinished index leaves."""
    issue("E", (8, 6), [1, 1])
    with pytest.raises(UsageError, match="is duplicated"):
        run_script(lab.url, "4-guard")
    for script in SCRIPTS:
        run_script(lab.url, script)
    assert lab.audit("original", "E").clean


async def test_a_repair_that_is_interrupted_leaves_no_buyers(lab, monkeypatch):
    """As when its cell is interrupted in JupyterLab, where the event loop goes on."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def buy_for_ever(*_, **__):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(repair, "run_workload", buy_for_ever)
    repairing = asyncio.create_task(repair_while_selling(lab, "E", total=80, damaging=2))
    async with asyncio.timeout(TIMEOUT_S):
        await begun.wait()
        repairing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await repairing
        await ended.wait()
