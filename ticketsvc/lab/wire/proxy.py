"""Listen where clients expect PostgreSQL, and pass what they send through a gate."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from ticketsvc.lab.wire import frames
from ticketsvc.lab.wire.gate import Gate
from ticketsvc.lab.wire.session import Session

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """A PostgreSQL server's address on loopback, behind which every statement asks *gate*.

    *owner*: the number of the client that alone connects to it; None: several may.
    """

    def __init__(self, host: str, port: int, gate: Gate, owner: int | None) -> None:
        self._target = host, port
        self._gate, self._owner = gate, owner
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._serve((client, to_client))
        except frames.ProtocolError as problem:
            _refuse(to_client, str(problem))
        except (struct.error, ValueError, LookupError):
            _refuse(to_client, "a message has not the form that PostgreSQL's protocol gives it")
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # one side has gone, or the proxy ends: the other is told so
        finally:
            to_client.close()

    async def end_connections(self) -> None:
        """Cut off every client, and wait until all is closed."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client: _Streams) -> None:
        code, content = await frames.read_startup(client[0])
        while code in (frames.SSL_REQUEST, frames.GSS_REQUEST):
            client[1].write(b"N")  # neither is spoken here
            code, content = await frames.read_startup(client[0])
        if code == frames.CANCEL_REQUEST:
            async with self._connected() as server:
                server[1].write(frames.startup_packet(code, content))
                await server[1].drain()
                await server[0].read()  # until the server has taken it
            return
        if code >> 16 != frames.PROTOCOL_3 >> 16:
            raise frames.ProtocolError("only protocol 3 is spoken here")
        parameters = frames.startup_parameters(content)
        if parameters.get("replication", "false") not in ("false", "off", "no", "0"):
            raise frames.ProtocolError("replication is not passed on by this proxy")
        async with self._connected() as server:
            session = Session(client, server, self._gate, self._owner)
            session.database = parameters.get("database") or parameters.get("user", "")
            session.sets_path = b"search_path" in content
            if not await session.log_in(frames.startup_packet(code, content)):
                return
            self._gate.opened(session)
            try:
                await session.run()
            finally:
                self._gate.closed(session)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Streams]:
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            yield reader, writer
        finally:
            writer.close()


def _refuse(to_client: asyncio.StreamWriter, reason: str) -> None:
    with contextlib.suppress(OSError):
        to_client.write(frames.error_response("0A000", reason))


@contextlib.asynccontextmanager
async def open_proxy(
    host: str, port: int, gate: Gate, owner: int | None = None
) -> AsyncIterator[int]:
    """Run a proxy before the server at *host* and *port*; yield its port on 127.0.0.1."""
    proxy = Proxy(host, port, gate, owner)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await proxy.end_connections()
