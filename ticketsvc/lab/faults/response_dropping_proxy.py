"""A proxy that can lose an answer: the purchase has happened, and nobody is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from yarl import URL

_CHUNK_BYTES = 64 * 1024


class CuttingProxy:
    """Hand bytes on both ways between clients and one service, until told to cut."""

    def __init__(self, target: str) -> None:
        self._target = URL(target)
        self._cuts = 0
        self.url = ""

    def cut_answers(self, many: int) -> None:
        """Have the next *many* answers end in a broken connection instead of reaching anybody."""
        self._cuts += many

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        asking = asyncio.create_task(_copy(reader, theirs[1]))
        try:
            while answer := await theirs[0].read(_CHUNK_BYTES):
                if self._cuts and answer.startswith(b"HTTP/1.1 200"):
                    self._cuts -= 1
                    break
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass  # whichever side broke off: the other is told so
        finally:
            asking.cancel()
            theirs[1].close()
            writer.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()


@contextlib.asynccontextmanager
async def cutting_proxy(target: str) -> AsyncIterator[CuttingProxy]:
    """Run a proxy before the service at *target*, on a free port of this machine."""
    proxy = CuttingProxy(target)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
