"""Serve an aiohttp application in this process."""

from contextlib import asynccontextmanager

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
