"""One line per request, written in batches."""

import asyncio
import contextlib
import logging
import sys
import time as clock
from typing import ClassVar

from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse

_FLUSH_INTERVAL_S = 0.05


class AccessLog(AbstractAccessLogger):
    """Write each request to standard error: client, request line, status, body size, time.

    The lines of a twentieth of a second are written together, because a system call per request
    would cost more than the rest of the log. No request waits for them. A process that is killed
    loses its last lines.
    """

    # Shared by all connections: each of them has a log object of its own.
    _lines: ClassVar[list[str]] = []

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        # Looked up once: up to Python 3.11 each look-up is a system call.
        self._loop = asyncio.get_running_loop()
        self._remote: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether requests are logged at all."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Queue one line. The path is logged as it was sent, so that no client can add a line."""
        if not self._lines:
            self._loop.call_later(_FLUSH_INTERVAL_S, self.flush)
        if self._remote is None:  # the same for all requests of a connection
            self._remote = str(request.remote)
        self._lines.append(
            f'{self._remote} "{request.method} {request.raw_path}" '
            f"{response.status} {response.body_length} {time * 1000:.1f} ms\n"
        )

    @classmethod
    def flush(cls) -> None:
        """Write the queued lines."""
        if cls._lines:
            now = clock.strftime("%Y-%m-%d %H:%M:%S ")
            text = now + now.join(cls._lines)
            cls._lines.clear()
            with contextlib.suppress(OSError, ValueError):  # nobody reads it: keep serving
                sys.stderr.write(text)
