"""Fixes are ranked by what they do to clients; what cannot differ is not explored again."""

from dataclasses import replace

import pytest

from ticketsvc.lab.explore.acts import Act
from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.explore.fixes import candidates, not_tried, try_fixes
from ticketsvc.lab.explore.overlap import why_nothing_isolates
from ticketsvc.lab.explore.rewriting import locking_reads, refuses_lock
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
    """Try fixes whose explorations are given by the isolation level, or by `lock`.

    Return those that were explored, the best first, and the ways in which they were.
    """
    asked = []

    async def explore(ways, sql):
        asked.append(ways)
        return by_name["lock" if ways.advisory_lock else ways.isolation]

    ranked = await try_fixes(WELL.scenario, WELL, explore)
    return [one for one in ranked if one.explored], asked


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


def overlapping(*parts):
    """Return a violating run; *parts*: client, transaction's last step, what is read, changed."""
    data = frozenset({"pool"})
    steps, acts = [], []
    for place, (client, end, reads, changes) in enumerate(parts):
        seen, published = (data if touched else frozenset() for touched in (reads, changes))
        steps.append(Step(client, "", "", Effect(sees=seen, publishes=published)))
        acts.append(Act(place, client, "AB"[client], "", (), seen, published, end))
    results = (ClientResult("success"), ClientResult("success"))
    return ScenarioRun(("A", "B"), tuple(steps), results, (OVERSOLD,), tuple(acts))


AUTOCOMMIT = overlapping((0, 0, 1, 0), (1, 1, 1, 0), (0, 2, 0, 1), (1, 3, 0, 1))
TRANSACTIONS = overlapping((0, 2, 1, 0), (1, 3, 1, 0), (0, 2, 0, 1), (1, 3, 0, 1))


def test_levels_and_locks_cannot_help_where_no_transactions_overlap():
    assert why_nothing_isolates([AUTOCOMMIT]).startswith("no client uses a transaction")
    assert why_nothing_isolates([TRANSACTIONS]) == ""
    assert "transaction:" not in why_nothing_isolates([TRANSACTIONS, AUTOCOMMIT])


async def test_what_cannot_help_is_not_explored():
    found = replace(WELL, runs=[*WELL.runs, AUTOCOMMIT])
    asked = []

    async def explore(ways, sql):
        asked.append(ways)
        return WELL

    tried = await try_fixes(found.scenario, found, explore)
    assert [ways.advisory_lock for ways in asked if not ways.one_transaction] == [True]
    assert [one.holds for one in tried if not one.explored] == [False] * 5


async def test_a_lock_that_no_statement_could_take_is_not_tried():
    async def explore(ways, sql):
        return WELL

    told = not_tried(await try_fixes(WELL.scenario, WELL, explore))
    assert told.startswith("Not tried: FOR UPDATE on the reads. Why: there is no statement to add")


async def test_a_search_that_ended_at_its_limit_could_not_tell():
    limited = replace(WELL, complete=False, reasons=["the search stopped at its limit of 1"])
    ranked, _ = await tried({"lock": limited, "serializable": WELL, "repeatable read": WELL})
    assert ranked[-1].shown()["holds"] == "could not tell"


@pytest.mark.parametrize(("run", "offered"), [(AUTOCOMMIT, 3), (TRANSACTIONS, 0)])
def test_one_transaction_is_offered_only_where_clients_have_none(run, offered):
    found = candidates(WELL.scenario, replace(WELL, runs=[run]))
    assert sum(one.ways.one_transaction for one in found) == offered


async def test_a_search_that_stopped_says_that_there_may_be_more():
    stopped = replace(VIOLATING, complete=False, stopped=True)
    ranked, _ = await tried({"lock": stopped, "serializable": WELL, "repeatable read": WELL})
    shown = ranked[-1].shown()
    assert (shown["holds"], shown["violating"]) == ("no", "at least 1")
    assert "at least 1 of 1 schedules tried" in shown["why"]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("SELECT coalesce(sum(a), 0) FROM t", "sum(…)"),
        ("SELECT a FROM t GROUP BY a", "GROUP BY"),
        ("SELECT DISTINCT a FROM t", "DISTINCT"),
        ("SELECT rank() OVER (ORDER BY a) FROM t", "a window function"),
        ("SELECT a FROM t UNION ALL SELECT 1", "UNION"),
        ("SELECT a, (SELECT count(*) FROM u) FROM t WHERE b = 'group by'", ""),
        ("SELECT count FROM t", ""),
    ],
)
def test_a_read_that_cannot_be_locked_is_left_as_it_is(text, refused):
    assert refuses_lock(text) == refused
    locked = locking_reads(frozenset({"public.t"}))(text)
    assert locked == (text if refused else f"{text} FOR UPDATE")
