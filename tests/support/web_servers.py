"""Serve an aiohttp application in this process."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web


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
