"""One process of the generator: buyers on kept connections, each with one request at a time.

Told on standard input what to do (JSON), says `ready`, waits for a line, fires, and says what
it counted (JSON). Speaks plain sockets: a whole client would cost more than the service.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
import uuid
from collections.abc import Iterator
from itertools import cycle
from typing import Any, cast
from urllib.parse import urlsplit

from ticketsvc.lab.bench.load_spec import KEY_PLACE
from ticketsvc.service.event_loop import new_event_loop

_KEY_PLACE = KEY_PLACE.encode()
_DRAIN_S = 15.0
_RECONNECT_S = 0.05
_CONNECT_PATIENCE_S = 5.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Tally:
    """What all buyers of this process share: the requests to send, the clock, the counts."""

    def __init__(self, requests: list[bytes], limit: int | None, keys: bool) -> None:
        self._requests: Iterator[bytes] = cycle(requests)
        self._keys = keys
        self._left = limit
        self.deadline = float("inf")
        self.sold = self.late = self.refused = self.failed = self.lost = 0
        self.latencies_us: list[int] = []
        self.waiting = 0
        self.idle = asyncio.Event()
        self.spent = asyncio.Event()

    def next_request(self) -> bytes | None:
        """Return what to send next; None when it is over."""
        if time.monotonic() >= self.deadline or self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        self.waiting += 1
        self.idle.clear()
        request = next(self._requests)
        return request.replace(_KEY_PLACE, uuid.uuid4().hex.encode()) if self._keys else request

    def answered(self, status: int, sent_s: float) -> None:
        """Count an answer: a sale is a 2xx."""
        now = time.monotonic()
        self.finished()
        if not 200 <= status < 300:
            self.refused += 1
        elif now > self.deadline:
            self.late += 1
        else:
            self.sold += 1
            self.latencies_us.append(round((now - sent_s) * 1e6))

    def finished(self) -> None:
        """Count that a request is no longer waited for."""
        self.waiting -= 1
        if self.waiting == 0:
            self.idle.set()
            if self._left == 0:
                self.spent.set()


class Buyer(asyncio.Protocol):
    """One connection: send, wait for the whole answer, send again."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._received = b""
        self._sent_s = 0.0
        self._busy = False
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        """Send the next request, if there is one."""
        request = self._tally.next_request()
        if request is not None and self.transport is not None:
            self._busy = True
            self._sent_s = time.monotonic()
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Go on once the answer is whole."""
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0 or not self._whole(head):
            return
        answer, self._received = self._received, b""
        self._busy = False
        self._tally.answered(int(answer[9:12]), self._sent_s)
        if _CLOSE.search(answer, 0, head) and self.transport:
            self.transport.close()
        else:
            self.send()

    def _whole(self, head: int) -> bool:
        if length := _LENGTH.search(self._received, 0, head):
            return len(self._received) >= head + 4 + int(length[1])
        if _CHUNKED.search(self._received, 0, head):
            return self._received.endswith(b"0\r\n\r\n")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a request whose answer is lost: it may have happened."""
        if self._busy:
            self._busy = False
            self._tally.lost += 1
            self._tally.finished()
        self.closed.set()


def requests_for(url: str, bodies: list[str], keys: bool) -> list[bytes]:
    """Return each body as the bytes of a request to *url*, with a place for a key if need be."""
    parts = urlsplit(url)
    header = f"Idempotency-Key: {KEY_PLACE}\r\n" if keys else ""
    return [
        (
            f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            f"{header}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        for body in bodies
    ]


async def fire(told: dict[str, Any]) -> dict[str, Any]:
    """Do what was *told*, and return the counts."""
    keys = told["keys"]
    tally = Tally(requests_for(told["url"], told["bodies"], keys), told["limit"], keys)
    opened = await asyncio.gather(
        *(_connect(told["url"], tally) for _ in range(told["connections"]))
    )
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = time.monotonic()
    tally.deadline = began + told["seconds"]
    keepers = [asyncio.create_task(_keep_buying(told["url"], tally, one)) for one in opened]
    await _within(told["seconds"], tally.spent)
    seconds = min(time.monotonic() - began, told["seconds"])
    if tally.waiting:
        await _within(_DRAIN_S, tally.idle)
    for keeper in keepers:
        keeper.cancel()
    return {
        "sold": tally.sold,
        "late": tally.late,
        "refused": tally.refused,
        "failed": tally.failed,
        "in_flight": tally.lost + tally.waiting,
        "seconds": seconds,
        "latencies_us": tally.latencies_us,
    }


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _connect(url: str, tally: Tally) -> Buyer | None:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    port = parts.port or 80
    try:
        async with asyncio.timeout(_CONNECT_PATIENCE_S):
            _, buyer = await loop.create_connection(
                lambda: Buyer(tally), parts.hostname or "", port
            )
    except (OSError, TimeoutError):
        tally.failed += 1
        return None
    return buyer


async def _keep_buying(url: str, tally: Tally, buyer: Buyer | None) -> None:
    """Let a buyer buy until it is over; one whose connection breaks gets another."""
    while time.monotonic() < tally.deadline:
        if buyer is None:
            await asyncio.sleep(_RECONNECT_S)
        else:
            buyer.send()
            await buyer.closed.wait()
        buyer = await _connect(url, tally)


def main() -> None:
    """Read what to do, do it, say what came of it."""
    told = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        print(json.dumps(runner.run(fire(told))), flush=True)


if __name__ == "__main__":
    main()
