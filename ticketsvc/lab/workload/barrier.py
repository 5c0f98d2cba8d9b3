"""Hold the last byte of each request until all of them are ready."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable


class Barrier:
    """Stays closed until as many requests as *awaited* have arrived, or *limit_s* is over.

    The time limit exists so that one request that cannot connect does not hold up the others.
    """

    def __init__(self, awaited: int, limit_s: float) -> None:
        self._awaited = awaited
        self._limit_s = limit_s
        self._open = asyncio.Event()

    def arrive(self) -> None:
        """Count a request that is ready, or that has failed and never will be."""
        self._awaited -= 1
        if self._awaited <= 0:
            self._open.set()

    async def pass_through(self) -> None:
        """Arrive, and wait until the barrier opens."""
        self.arrive()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._open.wait(), self._limit_s)
        self._open.set()


class HeldBody:
    """A request's body whose last byte waits at a barrier; without one, it is sent whole.

    *sent_s* is when the last byte was sent, and *on_sent* is called then.
    """

    def __init__(self, content: bytes, barrier: Barrier | None) -> None:
        self._content = content
        self._barrier = barrier
        self.sent_s = time.monotonic()
        self.on_sent: Callable[[], None] = lambda: None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = self._content
        if self._barrier is not None:
            yield rest[:-1]
            rest = rest[-1:]
            barrier, self._barrier = self._barrier, None
            await barrier.pass_through()
        self.sent_s = time.monotonic()
        self.on_sent()
        yield rest

    def give_up(self) -> None:
        """Count the request as arrived if it never came to the barrier: the others may go on."""
        if self._barrier is not None:
            self._barrier.arrive()
            self._barrier = None
