"""What the turns note of a step that failed."""

import asyncio

import pytest

from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.explore.schedules import Step
from ticketsvc.lab.explore.turns import Turn, Turns

COMMIT = Effect(publishes=frozenset({"t"}))


@pytest.mark.parametrize(
    ("victim", "last", "soon", "late"),
    [
        (0, Effect(), True, True),
        (1, Effect(), True, False),
        (0, COMMIT, True, False),
        (0, Effect(), False, False),
    ],
    ids=[
        "it had waited",
        "it closed the cycle",
        "it was let go on, into the cycle",
        "all look after a second: the first that waits always finds it",
    ],
)
async def test_a_deadlock_found_late_is_told_from_one_of_the_schedule(victim, last, soon, late):
    turns = Turns[Turn](searches_soon=soon)
    turns.clients = [Turn(turns, index, "AB"[index]) for index in (0, 1)]
    turns.begin()
    for client, effect in zip(turns.clients, (Effect(), last), strict=True):
        asking = asyncio.create_task(turns.ask(client, Step(client.index, "s", "s", effect)))
        await asyncio.sleep(0)
        turns.go(client)
        await asking
        if client.index == 0:
            turns.update(client, waited_for=(1,))
    turns.failed(turns.clients[victim], "40P01")
    assert turns.searched_late is late
