"""When a parent of workers takes an ended one for a fault."""

import asyncio
from unittest.mock import Mock

import pytest

from ticketsvc.errors import WorkerEnded
from ticketsvc.service.workers import until_one_ends


async def test_a_worker_that_ends_in_the_turn_of_the_signal_is_no_fault():
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    async def signalled():
        loop.call_soon(loop.call_soon, stop.set)  # seen before what awaits it is woken

    await until_one_ends([Mock(wait=signalled, returncode=0)], stop)


async def ended():
    pass


async def test_a_worker_that_ends_without_a_signal_is_one():
    with pytest.raises(WorkerEnded, match="ended unexpectedly"):
        await until_one_ends([Mock(wait=ended, returncode=0)], asyncio.Event())
