"""Fixes are ranked by what they do to clients; what cannot differ is not explored again."""

import pytest

from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.explore.fixes import try_fixes
from ticketsvc.lab.explore.scenario import ScenarioExploration
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
from ticketsvc.lab.scenarios.clients import ClientResult
from ticketsvc.lab.scenarios.sandbox import ViolatedInvariant
from ticketsvc.lab.scenarios.spec import read_scenario
from ticketsvc.settings import ROOT

OVERSOLD = ViolatedInvariant("not oversold", ("id",), ((1,),), 1)


def explored(*endings, sqlstate=None, violated=()):
    """Return an exploration of one schedule, serial, with those endings of its clients."""
    found = ScenarioExploration(read_scenario(ROOT / "examples/python/naive.toml"), complete=True)
    steps = [
        Step(client, "UPDATE", "UPDATE", Effect(), error=None if ending == "success" else sqlstate)
        for client, ending in enumerate(endings)
    ]
    results = tuple(map(ClientResult, endings))
    run = ScenarioRun(("A", "B"), tuple(steps), results, violated)
    found.count(run)
    found.runs.append(run)
    return found


WELL = explored("success", "success")
TURNED_AWAY = explored("success", "refused")
NOBODY = explored("failed", "failed", sqlstate="0A000")
CONFLICT = explored("success", "failed", sqlstate="40001")
VIOLATING = explored("success", "success", violated=(OVERSOLD,))


async def tried(by_name):
    """Try fixes whose explorations are given by the isolation level, or by `lock`."""
    asked = []

    async def explore(ways, sql):
        asked.append(ways)
        return by_name["lock" if ways.advisory_lock else ways.isolation]

    ranked = await try_fixes(WELL.scenario, WELL, explore)
    return ranked, asked


async def test_what_holds_comes_first_and_what_serves_nobody_last():
    given = {"lock": WELL, "serializable": VIOLATING, "repeatable read": NOBODY}
    ranked, _ = await tried(given)
    assert ranked[0].holds
    assert ranked[-1].candidate.ways.isolation == "repeatable read"
    assert ranked[-1].why == "no client succeeds in any schedule (0A000)"


@pytest.mark.parametrize("found", [TURNED_AWAY, CONFLICT])
async def test_a_fix_that_serves_fewer_one_after_the_other_does_not_hold(found):
    ranked, _ = await tried({"lock": found, "serializable": WELL, "repeatable read": WELL})
    worst = ranked[-1]
    assert worst.candidate.ways.advisory_lock
    assert not worst.holds
    assert (worst.needless, worst.errors) == (1, found is CONFLICT)


async def test_what_a_serial_schedule_violates_is_said_so():
    ranked, _ = await tried({"lock": WELL, "serializable": VIOLATING, "repeatable read": WELL})
    assert "violated even when the clients act one after the other" in ranked[-1].why


async def test_a_retry_is_explored_only_where_something_conflicts():
    _, asked = await tried({"lock": WELL, "serializable": CONFLICT, "repeatable read": WELL})
    again = [ways.isolation for ways in asked if ways.retry]
    assert again == ["serializable"]
    assert not any(ways.lock_reads_of for ways in asked)
