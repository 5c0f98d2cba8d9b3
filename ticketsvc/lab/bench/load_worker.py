"""One worker process of a load pool: clients on kept connections, one request at a time each.

Reads a load from standard input (a line of JSON), writes `ready` once its connections are open,
waits for a line, runs the load, and writes what it counted (JSON). Then it reads the next load.
It speaks HTTP over plain sockets: a whole client would cost more than the service.
"""

import asyncio
import functools
import json
import re
import sys
import time
import uuid
from collections.abc import Iterator
from itertools import cycle
from typing import Any, cast
from urllib.parse import urlsplit

from ticketsvc.lab.bench.load_spec import LoadSpec
from ticketsvc.service.event_loop import new_event_loop

_KEY_PLACE = b"key-goes-here"  # in a prepared request: each request's own key replaces it
_DRAIN_S = 15.0
_RECONNECT_S = 0.05
_CONNECT_TIMEOUT_S = 5.0
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


_read_head = functools.lru_cache(1000)(Head)  # heads repeat while the second lasts


class LoadClients:
    """What all clients of this worker share: the requests, the clock, the counts."""

    def __init__(self, spec: LoadSpec) -> None:
        self._requests: Iterator[bytes] = cycle(requests_for(spec))
        self._keys = spec.keys
        self._left = spec.limit
        self.deadline = float("inf")
        self.sent = self.sold = self.late = self.refused = self.failed = 0
        self.latencies_s: list[float] = []

    def ended(self, now: float) -> bool:
        """Return whether no further request is sent."""
        return now >= self.deadline or self._left == 0

    def next_request(self) -> bytes:
        """Return the next request to send."""
        if self._left is not None:
            self._left -= 1
        self.sent += 1
        request = next(self._requests)
        return request.replace(_KEY_PLACE, uuid.uuid4().hex.encode()) if self._keys else request

    def count(self, success: bool, sent_s: float, now: float) -> None:
        """Count an answer."""
        if not success:
            self.refused += 1
        elif now > self.deadline:
            self.late += 1
        else:
            self.sold += 1
            self.latencies_s.append(now - sent_s)


class Client(asyncio.Protocol):
    """One connection: send, wait for the whole answer, send again; close it at the end."""

    transport: asyncio.Transport

    def __init__(self, clients: LoadClients) -> None:
        self._clients = clients
        self._received = b""
        self._sent_s = 0.0
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, now: float) -> None:
        """Send the next request, if there is one."""
        if self._clients.ended(now):
            self.transport.close()
        else:
            self._sent_s = now
            self.transport.write(self._clients.next_request())

    def data_received(self, data: bytes) -> None:
        """Count the answer and send again once it is whole."""
        if self._received:
            data = self._received + data
        end = data.find(b"\r\n\r\n")
        head = _read_head(data[:end]) if end >= 0 else None
        if head is None or not (
            data.endswith(b"0\r\n\r\n") if head.chunked else len(data) >= head.length
        ):
            self._received = data
            return
        self._received = b""
        now = time.monotonic()
        self._clients.count(head.success, self._sent_s, now)
        if head.closes:
            self.transport.close()
        else:
            self.send(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so: a request whose answer is lost may have happened."""
        self.closed.set()


def requests_for(spec: LoadSpec) -> list[bytes]:
    """Return a request per event of *spec*, with a placeholder for its key if it has keys."""
    parts = urlsplit(spec.url)
    key = b"Idempotency-Key: %b\r\n" % _KEY_PLACE if spec.keys else b""
    head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
    bodies = [
        json.dumps({"userId": "bench", "eventId": event, "quantity": spec.quantity}).encode()
        for event in spec.events
    ]
    return [
        b"%b%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (head.encode(), key, len(body), body)
        for body in bodies
    ]


async def run_load(spec: LoadSpec) -> dict[str, Any]:
    """Run a worker's share of a load, and return the counts."""
    clients = LoadClients(spec)
    opened = await asyncio.gather(*(_connect(spec.url, clients) for _ in range(spec.connections)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = time.monotonic()
    clients.deadline = began + spec.seconds
    tasks = [asyncio.create_task(_keep_sending(spec.url, clients, one)) for one in opened]
    _, unanswered = await asyncio.wait(tasks, timeout=spec.seconds + _DRAIN_S)
    seconds = min(time.monotonic() - began, spec.seconds)
    for task in unanswered:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "sold": clients.sold,
        "late": clients.late,
        "refused": clients.refused,
        "failed": clients.failed,
        "in_flight": clients.sent - clients.sold - clients.late - clients.refused,
        "seconds": seconds,
        "latencies_ms": [round(1e3 * latency, 3) for latency in clients.latencies_s],
    }


async def _connect(url: str, clients: LoadClients) -> Client | None:
    """Return a client that is connected, or None after a pause."""
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
        await asyncio.sleep(_RECONNECT_S)
        return None
    return client


async def _keep_sending(url: str, clients: LoadClients, client: Client | None) -> None:
    """Keep one client busy until the end; replace it when its connection breaks."""
    try:
        while not clients.ended(time.monotonic()):
            client = client or await _connect(url, clients)
            if client is not None:
                client.send(time.monotonic())
                await client.closed.wait()
                client = None
    finally:
        if client is not None:
            client.transport.abort()


def main() -> None:
    """Run one load after the other, until there is no further line."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for line in iter(sys.stdin.readline, ""):
            print(json.dumps(runner.run(run_load(LoadSpec(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
