"""One line per request, in the least time."""

import asyncio
import contextlib
import logging
import sys
import time as clock
from typing import ClassVar

from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse

_GATHER_S = 0.05


class AccessLog(AbstractAccessLogger):
    """Write to standard error who asked what, what came of it, how long the answer and its time.

    Lines of a twentieth of a second go out together: a system call per request would cost more
    than all else that is done for it here. Nothing waits for them; a process that is killed takes
    the last ones with it.
    """

    # Of all connections, each of which has a log of its own.
    _lines: ClassVar[list[str]] = []

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        # Asked once: up to Python 3.11 each asking is a system call.
        self._loop = asyncio.get_running_loop()
        self._remote: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether requests are logged at all."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Remember one request, as it was sent: no client can start a line of its own."""
        if not self._lines:
            self._loop.call_later(_GATHER_S, self.flush)
        if self._remote is None:  # a connection has one
            self._remote = str(request.remote)
        self._lines.append(
            f'{self._remote} "{request.method} {request.raw_path}" '
            f"{response.status} {response.body_length} {time * 1000:.1f} ms\n"
        )

    @classmethod
    def flush(cls) -> None:
        """Write what has gathered."""
        if cls._lines:
            now = clock.strftime("%Y-%m-%d %H:%M:%S ")
            text = now + now.join(cls._lines)
            cls._lines.clear()
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more: sell on
                sys.stderr.write(text)
