"""Answers that are sent together."""

import asyncio


class Outbox:
    """Answers that are complete; they are sent once the requests that are ready have run.

    A send wakes the client that waits for it. Many sends in a row wake it once, so that each costs
    both sides less. Nothing waits longer than one turn of the event loop.
    """

    def __init__(self) -> None:
        self._answers: list[tuple[asyncio.Transport, bytes]] = []

    def add(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Send *answer* on *transport* soon."""
        if not self._answers:
            asyncio.get_running_loop().call_soon(self.send)
        self._answers.append((transport, answer))

    def send(self) -> None:
        """Send every answer now: before anything else is written, or a connection is closed."""
        answers, self._answers = self._answers, []
        for transport, answer in answers:
            if not transport.is_closing():
                transport.write(answer)
