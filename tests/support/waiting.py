"""Wait for what must happen, however busy the machine is."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import pytest

TIMEOUT_S = 60  # the deadline for what must happen; never a measure of how fast it is
PAUSE_S = 0.01


def eventually(question: Callable[[], Any]) -> Any:
    """Ask *question* until the answer is true, and return it; fail at the deadline.

    A question that takes long, as one about every process does, is asked less often: it must not
    take the processor from what it waits for.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        asked = time.monotonic()
        if answer := question():
            return answer
        now = time.monotonic()
        if now > deadline:
            pytest.fail("it did not happen")
        time.sleep(max(PAUSE_S, 10 * (now - asked)))


async def soon(question: Callable[[], Any]) -> Any:
    """Do as `eventually` does, in a running loop. The question may be a coroutine function."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            answer = question()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(PAUSE_S)
