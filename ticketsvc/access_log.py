"""One line per request, in the least time."""

import asyncio
import logging
import sys
import time as clock

from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse


class AccessLog(AbstractAccessLogger):
    """Write to standard error who asked what, what came of it, how long the answer and its time.

    Lines of one turn of the event loop go out together: a system call per request would cost
    more than all else that is done for it here. Nothing waits for them.
    """

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        self._lines: list[str] = []

    @property
    def enabled(self) -> bool:
        """Whether requests are logged at all."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Remember one request, as it was sent: no client can start a line of its own."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(
            f'{request.remote} "{request.method} {request.raw_path}" '
            f"{response.status} {response.body_length} {time * 1000:.1f} ms\n"
        )

    def _write(self) -> None:
        now = clock.strftime("%Y-%m-%d %H:%M:%S ")
        sys.stderr.write(now + now.join(self._lines))
        self._lines.clear()
