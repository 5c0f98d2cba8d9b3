"""Serve an aiohttp application in this process, ours or another."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from ticketsvc.allocators import SERVABLE
from ticketsvc.database.pool import Pool
from ticketsvc.service.app import create_app
from ticketsvc.settings import Settings


@asynccontextmanager
async def serve_app(app):
    """Serve *app* on a free port until the block ends; return the address."""
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def sales_app(database, name, schema="fixed", max_waiting=100, **settings):
    """Return the application that sells by the allocator *name*, on a pool of its own."""
    pool = Pool(database, Settings(**settings))
    return create_app(pool, SERVABLE[name], schema, max_waiting=max_waiting)


def serve_sales(database, name, **options):
    """Serve `sales_app` until the block ends; return the address."""
    return serve_app(sales_app(database, name, **options))


@contextmanager
def serve_beside(handlers):
    """Answer POST requests in another thread, so that a command can run in this one.

    *handlers*: one for each path. Return the address.
    """
    app = web.Application()
    app.add_routes([web.post(path, handler) for path, handler in handlers.items()])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    serving = serve_app(app)
    try:
        yield run(serving.__aenter__())
    finally:
        run(serving.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
