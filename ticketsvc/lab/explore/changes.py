"""Tell the scheduler that a session asked for a step or ended one."""

import asyncio


class Changes:
    """A signal between the sessions, which send it, and the lock watch, which waits for it."""

    def __init__(self) -> None:
        self._next: asyncio.Future[bool] | None = None

    def notify(self, _: object = None) -> None:
        """End the wait, if there is one."""
        self._resolve(True)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next change; return False when there is none in time."""
        loop = asyncio.get_running_loop()
        self._next = loop.create_future()
        timer = loop.call_later(timeout_s, self._resolve, False)
        try:
            return await self._next
        finally:
            timer.cancel()

    def _resolve(self, changed: bool) -> None:
        if self._next and not self._next.done():
            self._next.set_result(changed)
