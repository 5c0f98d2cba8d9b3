"""A proxy that can drop an answer: the purchase has happened, and the buyer does not know."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from yarl import URL

_CHUNK_BYTES = 64 * 1024


class ResponseDroppingProxy:
    """Forward bytes both ways between clients and one service, but drop answers on request."""

    def __init__(self, target: str) -> None:
        self._target = URL(target)
        self.drops_left = 0
        self.url = ""

    def drop_answers(self, count: int) -> None:
        """Close the connection instead of forwarding the next *count* successful answers."""
        self.drops_left += count

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one client's connection until either side ends it, or an answer is dropped."""
        try:
            from_service, to_service = await asyncio.open_connection(
                self._target.host, self._target.port
            )
        except OSError:
            writer.transport.abort()
            return
        requests = asyncio.create_task(_copy(reader, to_service))
        try:
            while answer := await from_service.read(_CHUNK_BYTES):
                if self.drops_left and answer.startswith(b"HTTP/1.1 200"):
                    self.drops_left -= 1
                    break
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass  # one side closed: the other is closed below
        finally:
            requests.cancel()
            to_service.close()
            writer.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
    target.close()


@contextlib.asynccontextmanager
async def response_dropping_proxy(target: str) -> AsyncIterator[ResponseDroppingProxy]:
    """Run a proxy in front of the service at *target*, on a free port of this machine."""
    proxy = ResponseDroppingProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
