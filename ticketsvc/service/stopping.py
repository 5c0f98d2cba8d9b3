"""Requests to stop: a signal, or the end of the process that started this one."""

import asyncio
import contextlib
import os
import sys
import threading

from ticketsvc.interrupts import ending_signals


def stop_requests(*, end_with_input: bool) -> asyncio.Event:
    """Return an event that is set by SIGTERM, SIGINT and, unless it is ignored, SIGHUP.

    *end_with_input*: also when standard input closes, that is, when the process that started
    this one has ended.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in ending_signals():
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises instead
            loop.add_signal_handler(number, stop.set)
    if end_with_input:
        threading.Thread(
            target=_await_end_of_input, args=(loop, stop), daemon=True, name="lifeline"
        ).start()
    return stop


def _await_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stop.set)
