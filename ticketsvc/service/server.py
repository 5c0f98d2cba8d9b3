"""Run one server process: listen, announce, and stop without dropping a purchase."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError
from psycopg import AsyncCursor

from ticketsvc.allocators import SERVABLE
from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.trace import traced_cursor, write_lines
from ticketsvc.errors import UsageError
from ticketsvc.service.access_log import AccessLog
from ticketsvc.service.app import before_routing, create_app
from ticketsvc.service.connections import Connections
from ticketsvc.service.metrics import counters_kept
from ticketsvc.service.request_limits import MAX_HEADERS, MAX_LINE_BYTES
from ticketsvc.service.state import STATE
from ticketsvc.service.stopping import stop_requests
from ticketsvc.settings import Settings

_BACKLOG = 1024  # connections that the system keeps until the process takes them
_OBJECTS_BETWEEN_COLLECTIONS = 20_000  # the default looks far more often
_LAST_REQUESTS_S = 0.1
_CANCEL_S = 0.1  # what cancelled requests get before the process ends
_log = logging.getLogger("ticketsvc.service.http")
_log.addFilter(lambda record: not _is_fault_of_client(record))


async def serve(
    *,
    conninfo: str,
    settings: Settings,
    allocator: str,
    schema: SchemaName,
    announce: Callable[[str], None],
    trace: Path | None = None,
    end_with_input: bool = False,
    share_port: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted and return.

    *announce* is called with the address once requests are accepted. *trace*: a file that gets
    every statement. *end_with_input*: also stop when standard input closes, that is, when the
    process that started this one has ended. *share_port*: let other processes listen there too.

    Raise `UsageError` when the address is not available or the trace cannot be written.
    """
    with counters_kept(), write_lines(trace) if trace else contextlib.nullcontext() as record:
        cursor = traced_cursor(record) if record else AsyncCursor
        app = create_app(
            Pool(conninfo, settings, cursor),
            SERVABLE[allocator],
            schema,
            max_waiting=settings.max_waiting,
            body_timeout_s=settings.request_timeout_s,
            traced=record is not None,
        )
        try:
            async with _running(app, settings) as connections:
                # Before the address is known, so that no early signal is missed.
                stop = stop_requests(end_with_input=end_with_input)
                listener = await _listen(connections, settings, share_port=share_port)
                _collect_rarely()
                announce(_address(listener, settings))
                await stop.wait()
                listener.close()
                app[STATE].draining = True
                # Clients that have sent a request on a kept connection get an answer.
                await asyncio.sleep(_LAST_REQUESTS_S)
                await connections.drain()
        finally:
            AccessLog.flush()


@contextlib.asynccontextmanager
async def _running(app: web.Application, settings: Settings) -> AsyncIterator[Connections]:
    """Start *app* behind guarded connections, and end it."""
    runner = web.AppRunner(
        app,
        access_log_class=AccessLog,
        access_log=logging.getLogger("ticketsvc.access"),
        logger=_log,
        # The guards close idle connections; this is longer, so that it never ends a request.
        keepalive_timeout=settings.keepalive_timeout_s + 2 * settings.request_timeout_s,
        lingering_time=settings.request_timeout_s,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
        auto_decompress=False,  # the application answers what it does not take
        shutdown_timeout=_CANCEL_S,  # once the connections are drained
    )
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - for the type checker
    runner.server.request_handler = before_routing(app, runner.server.request_handler)
    state = app[STATE]
    connections = Connections(
        runner.server, settings, state.guards, state.metrics.connection_refused
    )
    checking = asyncio.create_task(connections.keep_checking())
    try:
        yield connections
    finally:
        checking.cancel()
        await runner.cleanup()


async def _listen(
    connections: Connections, settings: Settings, *, share_port: bool
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            connections.accept,
            settings.host,
            settings.port,
            backlog=_BACKLOG,
            reuse_port=share_port or None,
        )
    except OSError as problem:
        raise cannot_listen(settings, problem) from None


def cannot_listen(settings: Settings, problem: OSError) -> UsageError:
    """Return the error that says why nobody can listen on this host and port."""
    unknown = isinstance(problem, socket.gaierror)
    reason = problem.strerror if unknown else os.strerror(problem.errno or 0)
    where = f"{settings.host}:{settings.port}"
    other = "--port, or --port 0 for any free one"
    if unknown or problem.errno == errno.EADDRNOTAVAIL:
        where, other = f"the host {settings.host!r}", "--host or TICKETSVC_HOST"
    return UsageError(f"cannot listen on {where}: {reason}; choose another with {other}")


def _address(listener: asyncio.Server, settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.sockets[0].getsockname()[1]}"


def _collect_rarely() -> None:
    """Let the garbage collector examine only what requests leave behind, and less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def _is_fault_of_client(record: logging.LogRecord) -> bool:
    """Tell whether aiohttp logs a request that is not valid HTTP: anybody can send those."""
    problem = record.exc_info[1] if record.exc_info else None
    return isinstance(problem, HttpProcessingError | web.RequestPayloadError)
