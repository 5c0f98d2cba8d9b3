"""Listen where clients expect PostgreSQL, and pass what they send through a gate."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from ticketsvc.lab.wire import frames
from ticketsvc.lab.wire.gate import Gate
from ticketsvc.lab.wire.session import Session

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def open_proxy(
    host: str, port: int, gate: Gate, owner: int | None = None
) -> AsyncIterator[int]:
    """Run a proxy before the server at *host* and *port*; yield its port on 127.0.0.1.

    Every statement asks *gate*. *owner*: the number of the client that alone connects to it; None:
    several may. At the end every client is cut off.
    """
    tasks: set[asyncio.Task[None]] = set()

    def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve((client, to_client), (host, port), gate, owner))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(client: _Streams, target: tuple[str, int], gate: Gate, owner: int | None) -> None:
    """Serve one connection until it ends."""
    try:
        await _pass(client, target, gate, owner)
    except frames.ProtocolError as problem:
        _refuse(client[1], str(problem))
    except (struct.error, ValueError, LookupError):
        _refuse(client[1], "a message has not the form that PostgreSQL's protocol gives it")
    except (OSError, EOFError, asyncio.CancelledError):
        pass  # one side has gone, or the proxy ends: the other is told so
    finally:
        client[1].close()


async def _pass(client: _Streams, target: tuple[str, int], gate: Gate, owner: int | None) -> None:
    code, content = await frames.read_startup(client[0])
    while code in (frames.SSL_REQUEST, frames.GSS_REQUEST):
        client[1].write(b"N")  # neither is spoken here
        code, content = await frames.read_startup(client[0])
    if code == frames.CANCEL_REQUEST:
        async with _connected(*target) as server:
            server[1].write(frames.startup_packet(code, content))
            await server[1].drain()
            await server[0].read()  # until the server has taken it
        return
    if code >> 16 != frames.PROTOCOL_3 >> 16:
        raise frames.ProtocolError("only protocol 3 is spoken here")
    parameters = frames.startup_parameters(content)
    if parameters.get("replication", "false") not in ("false", "off", "no", "0"):
        raise frames.ProtocolError("replication is not passed on by this proxy")
    async with _connected(*target) as server:
        session = Session(client, server, gate, owner)
        session.database = parameters.get("database") or parameters.get("user", "")
        session.sets_path = b"search_path" in content
        if not await session.log_in(frames.startup_packet(code, content)):
            return
        gate.opened(session)
        try:
            await session.run()
        finally:
            gate.closed(session)


@contextlib.asynccontextmanager
async def _connected(host: str, port: int) -> AsyncIterator[_Streams]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _refuse(to_client: asyncio.StreamWriter, reason: str) -> None:
    with contextlib.suppress(OSError):
        to_client.write(frames.error_response("0A000", reason))
