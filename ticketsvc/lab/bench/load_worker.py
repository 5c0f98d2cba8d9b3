"""One worker process of a load pool: clients on kept connections, one request at a time each.

Reads a load from standard input (a line of JSON), writes `ready` once its connections are open,
waits for a line, runs the load, and writes what it counted (JSON). Then it reads the next load.
It speaks HTTP over plain sockets: a whole client would cost more than the service.
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
_CONNECT_TIMEOUT_S = 5.0
_MAX_KNOWN_HEADS = 1000
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Head:
    """What an answer's head says: whether it is a sale, how long the body is, what follows."""

    def __init__(self, head: bytes) -> None:
        status = int(head[9:12])
        length = _LENGTH.search(head)
        self.success = 200 <= status < 300
        self.chunked = length is None and _CHUNKED.search(head) is not None
        self.length = len(head) + 4 + (int(length[1]) if length else 0)
        self.closes = _CLOSE.search(head) is not None


class LoadClients:
    """What all clients of this worker share: the requests, the clock, the counts."""

    def __init__(self, requests: list[bytes], limit: int | None, keys: bool) -> None:
        self._requests: Iterator[bytes] = cycle(requests)
        self._keys = keys
        self._left = limit
        self._heads: dict[bytes, Head] = {}
        self.deadline = float("inf")
        self.sold = self.late = self.refused = self.failed = self.lost = 0
        self.latencies_s: list[float] = []
        self.waiting = 0
        self.idle = asyncio.Event()
        self.spent = asyncio.Event()

    def head(self, text: bytes) -> Head:
        """Return what *text* says. Heads repeat while the second lasts: each is read once."""
        known = self._heads.get(text)
        if known is None:
            if len(self._heads) >= _MAX_KNOWN_HEADS:
                self._heads.clear()
            known = self._heads[text] = Head(text)
        return known

    def next_request(self, now: float) -> bytes | None:
        """Return the next request to send; None at the end."""
        if now >= self.deadline or self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        self.waiting += 1
        request = next(self._requests)
        return request.replace(_KEY_PLACE, uuid.uuid4().hex.encode()) if self._keys else request

    def count(self, success: bool, sent_s: float, now: float) -> None:
        """Count an answer."""
        self.waiting -= 1
        if not success:
            self.refused += 1
        elif now > self.deadline:
            self.late += 1
        else:
            self.sold += 1
            self.latencies_s.append(now - sent_s)

    def look_for_end(self) -> None:
        """Set the events once no request is waited for."""
        if self.waiting == 0:
            self.idle.set()
            if self._left == 0:
                self.spent.set()


class Client(asyncio.Protocol):
    """One connection: send, wait for the whole answer, send again."""

    def __init__(self, clients: LoadClients) -> None:
        self._clients = clients
        self._received = b""
        self._sent_s = 0.0
        self._busy = False
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, now: float) -> None:
        """Send the next request, if there is one."""
        request = self._clients.next_request(now)
        if request is None:
            self._clients.look_for_end()
        elif self.transport is not None:
            self._busy = True
            self._sent_s = now
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count the answer and send again once it is whole."""
        if self._received:
            data = self._received + data
        end = data.find(b"\r\n\r\n")
        head = self._clients.head(data[:end]) if end >= 0 else None
        if head is None or not (
            data.endswith(b"0\r\n\r\n") if head.chunked else len(data) >= head.length
        ):
            self._received = data
            return
        self._received = b""
        self._busy = False
        now = time.monotonic()
        self._clients.count(head.success, self._sent_s, now)
        if head.closes and self.transport is not None:
            self._clients.look_for_end()
            self.transport.close()
        else:
            self.send(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a request whose answer is lost: it may have happened."""
        if self._busy:
            self._busy = False
            self._clients.lost += 1
            self._clients.waiting -= 1
            self._clients.look_for_end()
        self.closed.set()


def requests_for(url: str, bodies: list[str], keys: bool) -> list[bytes]:
    """Return a request to *url* per body, with a placeholder for its key if *keys*."""
    parts = urlsplit(url)
    header = f"Idempotency-Key: {KEY_PLACE}\r\n" if keys else ""
    return [
        (
            f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            f"{header}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        for body in bodies
    ]


async def run_load(share: dict[str, Any]) -> dict[str, Any]:
    """Run a worker's *share* of a load, and return the counts."""
    url = share["url"]
    clients = LoadClients(
        requests_for(url, share["bodies"], share["keys"]), share["limit"], share["keys"]
    )
    opened = await asyncio.gather(*(_connect(url, clients) for _ in range(share["connections"])))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = time.monotonic()
    clients.deadline = began + share["seconds"]
    tasks = [asyncio.create_task(_keep_sending(url, clients, one)) for one in opened]
    await _wait_at_most(share["seconds"], clients.spent)
    seconds = min(time.monotonic() - began, share["seconds"])
    if clients.waiting:
        clients.idle.clear()
        await _wait_at_most(_DRAIN_S, clients.idle)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "sold": clients.sold,
        "late": clients.late,
        "refused": clients.refused,
        "failed": clients.failed,
        "in_flight": clients.lost + clients.waiting,
        "seconds": seconds,
        "latencies_us": [round(1e6 * latency) for latency in clients.latencies_s],
    }


async def _wait_at_most(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _connect(url: str, clients: LoadClients) -> Client | None:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    port = parts.port or 80
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, client = await loop.create_connection(
                lambda: Client(clients), parts.hostname or "", port
            )
    except (OSError, TimeoutError):
        clients.failed += 1
        return None
    return client


async def _keep_sending(url: str, clients: LoadClients, client: Client | None) -> None:
    """Keep one client busy until the deadline; replace it when its connection breaks."""
    try:
        while time.monotonic() < clients.deadline:
            if client is None:
                await asyncio.sleep(_RECONNECT_S)
            else:
                client.send(time.monotonic())
                await client.closed.wait()
            client = await _connect(url, clients)
    finally:
        if client is not None and client.transport is not None:
            client.transport.abort()


def main() -> None:
    """Run one load after the other, until there is no further line."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for line in iter(sys.stdin.readline, ""):
            print(json.dumps(runner.run(run_load(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
