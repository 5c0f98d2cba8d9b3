"""The event loop of the service."""

import asyncio
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's where it is installed.

    On Windows return a selector loop, because psycopg cannot use the default one.
    """
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop()
    try:
        from uvloop import new_event_loop as compiled  # noqa: PLC0415 - not made for every system
    except ImportError:
        return asyncio.new_event_loop()
    return compiled()
