"""End a command on Ctrl-C, SIGTERM or SIGHUP so that everything it has started is cleaned up.

The first signal raises `Interrupted` in the main thread, or cancels the coroutine that runs there.
Context managers then stop processes and remove folders. Further signals are ignored while they do.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

# asyncio is imported where it is used: a signal during its import would end in a traceback.
if TYPE_CHECKING:
    import asyncio

_Result = TypeVar("_Result")
_CLEANUP_S = 20  # a signal that comes later than this interrupts the cleanup too
_AGAIN_S = 0.05  # a destructor has ended by then; if not, the signal comes once more


class Interrupted(SystemExit):
    """A signal asked this process to end; the exit code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        return "interrupted" if name == "SIGINT" else f"stopped by {name}"


class _Received:
    """The signal that asked this process to end, and how to cancel what runs in a loop."""

    number: int | None = None
    at: float = 0.0
    cancel: Callable[[], object] | None = None


def ending_signals() -> Iterator[int]:
    """Return the signals that ask this process to end."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            continue  # this system has none, or nohup started the process
        yield number


def install() -> None:
    """Take over the signals that ask a process to end; call it in the main thread."""
    for number in ending_signals():
        signal.signal(number, _receive)
    sys.unraisablehook = _signal_again


def _receive(number: int, _: object) -> None:
    now = time.monotonic()
    if _Received.number is not None and now < _Received.at + _CLEANUP_S:
        return
    _Received.number, _Received.at = number, now
    if _Received.cancel is None:
        raise Interrupted(number)
    _Received.cancel()


def _signal_again(lost: "sys.UnraisableHookArgs") -> None:
    """Send a signal again that came in a destructor: Python ignores what is raised there."""
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)
        return
    _Received.number = None
    threading.Timer(_AGAIN_S, _send, [lost.exc_value.number]).start()


def _send(number: int) -> None:
    if os.name == "nt":
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)  # the main thread takes it, and stops waiting


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Let a signal wait until the block has ended: what is made halfway, nobody would remove."""
    before, cancel = _Received.number, _Received.cancel
    _Received.cancel = lambda: None
    try:
        yield
    finally:
        _Received.cancel = cancel
    if _Received.number is not None and before is None:
        if cancel is None:
            raise Interrupted(_Received.number)
        cancel()


def run_async(
    work: Coroutine[Any, Any, _Result], loop_factory: "Callable[[], asyncio.AbstractEventLoop]"
) -> _Result:
    """Run *work* in an event loop of its own; a signal cancels it and waits for its cleanup."""
    import asyncio  # noqa: PLC0415 - see above

    installed = signal.getsignal(signal.SIGTERM) == _receive
    try:
        with contextlib.closing(work), asyncio.Runner(loop_factory=loop_factory) as runner:
            result = runner.run(_cancellable(work))
    except BaseException as problem:
        if _Received.number is None or isinstance(problem, Interrupted):
            raise
        raise Interrupted(_Received.number) from problem
    finally:
        if installed:
            install()  # a server takes the signals over in its loop, and resets them afterwards
    if _Received.number is not None:
        raise Interrupted(_Received.number)
    return result


async def _cancellable(work: Coroutine[Any, Any, _Result]) -> _Result:
    import asyncio  # noqa: PLC0415 - see above

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has a task
    loop = asyncio.get_running_loop()
    _Received.cancel = lambda: loop.call_soon_threadsafe(task.cancel)
    try:
        return await work
    finally:
        _Received.cancel = None
