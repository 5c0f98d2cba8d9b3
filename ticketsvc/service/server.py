"""Run one server process: listen, announce, and stop without dropping a purchase."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from psycopg import AsyncCursor

from ticketsvc.allocators import SERVABLE
from ticketsvc.database.pool import make_pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.trace import traced_cursor, write_lines
from ticketsvc.errors import UsageError
from ticketsvc.service.access_log import AccessLog
from ticketsvc.service.app import STATE, create_app
from ticketsvc.service.connections import EdgeRunner
from ticketsvc.service.metrics import counters_kept
from ticketsvc.service.stopping import stop_requests
from ticketsvc.settings import Settings

_OBJECTS_BETWEEN_COLLECTIONS = 20_000  # the default looks far more often
_LAST_REQUESTS_S = 0.1


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

    *announce* is called with the address once requests are taken. *trace*: a file that gets
    every statement. *end_with_input*: also stop when standard input closes, that is, when
    whoever started this process is gone. *share_port*: let other processes listen there too.

    Raise `UsageError` when the address cannot be listened on or the trace not be written.
    """
    with counters_kept(), write_lines(trace) if trace else contextlib.nullcontext() as record:
        cursor = traced_cursor(record) if record else AsyncCursor
        pool = make_pool(conninfo, settings, cursor)
        app = create_app(
            pool,
            SERVABLE[allocator],
            schema,
            max_waiting=settings.max_waiting,
            traced=record is not None,
        )
        await _serve_app(
            app, settings, announce, end_with_input=end_with_input, share_port=share_port
        )


async def _serve_app(
    app: web.Application,
    settings: Settings,
    announce: Callable[[str], None],
    *,
    end_with_input: bool,
    share_port: bool,
) -> None:
    runner = EdgeRunner(
        app,
        settings,
        access_log_class=AccessLog,
        access_log=logging.getLogger("ticketsvc.access"),
    )
    await runner.setup()
    # Before the address is known, so that no early signal is missed.
    stop = stop_requests(end_with_input=end_with_input)
    try:
        site = web.TCPSite(
            runner, settings.host, settings.port, backlog=1024, reuse_port=share_port or None
        )
        try:
            await site.start()
        except OSError as problem:
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port}: {problem.strerror}; "
                f"choose another with --port, or --port 0 for any free one"
            ) from None
        # What is here now stays: only what requests leave behind is worth looking through.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(f"http://{host}:{runner.addresses[0][1]}")
        await stop.wait()
        await site.stop()
        app[STATE]["draining"] = True
        # Who has sent already, on a connection kept alive, is told rather than cut off.
        await asyncio.sleep(_LAST_REQUESTS_S)
    finally:
        await runner.cleanup()
        AccessLog.flush()
