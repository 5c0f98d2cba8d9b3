"""Which event loop runs the service."""

import asyncio
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's, compiled, where there is one.

    On Windows it is a selector loop: psycopg cannot use the default one.
    """
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop()
    try:
        from uvloop import new_event_loop as compiled  # noqa: PLC0415 - not made for every system
    except ImportError:
        return asyncio.new_event_loop()
    return compiled()
