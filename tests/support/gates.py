"""Gates for the proxy: one that notes what passes, and may hold or split it."""

import asyncio

from ticketsvc.lab.wire.gate import Gate


class NotingGate(Gate):
    """Let everything pass, and note it; *split*: with each commit a step of its own."""

    def __init__(self, *, split=False):
        self.split = split
        self.statements = []
        self.commits = []
        self.gone = []
        self.hold = None
        self.held = asyncio.Event()

    async def release(self, unit):
        self.statements.append(unit.text)
        if self.hold is not None and self.hold in unit.text:
            self.held.set()
            await asyncio.Future()
        return self.split

    async def release_commit(self, unit):
        self.commits.append(unit.text)

    def closed(self, session):
        self.gone.append(session)
