"""Fire purchases at services and record what they answer.

Works on any service that speaks the API: nothing is assumed of a status but that 2xx means
sold, and the numbers are taken from the answer.
"""

import asyncio
import contextlib
import itertools
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from yarl import URL

from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.history import Attempt

# How long a connection may take to open, and those that are ready wait for those that are not.
_PATIENCE_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.4  # before asking again
_OUR_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True)
class Workload:
    """What to fire: so many purchases of one event, so many at a time.

    *arrivals_s*: when each purchase is sent, in seconds after the start; None: as soon as one
    of the *concurrency* buyers is free. *keys*: send an `Idempotency-Key` with each. *retry_s*: how
    long one whose outcome is unknown is asked for again, under the same key if it has one;
    *patient*: also one that could not be sent, or was told that nothing was sold for now.
    """

    event: str
    purchases: int = 30
    quantity: int = 8
    concurrency: int = 30
    timeout_s: float = 30.0
    arrivals_s: tuple[float, ...] | None = None
    keys: bool = False
    retry_s: float = 0.0
    patient: bool = False

    def asks_again(self, tries: Sequence[Attempt]) -> bool:
        """Tell whether it takes another attempt after these.

        Once one was without an answer, nothing but an answer that settles it will do.
        """
        if tries[-1].decided:
            return False
        return self.patient or any(one.outcome == "unknown" for one in tries)


def purchase_url(url: str) -> URL:
    """Return the address purchases are posted to; raise `UsageError` when *url* is not http(s)."""
    try:
        address = URL(url)
    except ValueError:
        address = URL()
    if address.scheme not in ("http", "https") or not address.host:
        shown = url.rpartition("@")[2]  # without a password
        raise UsageError(f"--url {shown!r}: must look like http://127.0.0.1:3000")
    return address if address.name == "purchase" else address / "purchase"


async def run_workload(
    urls: Sequence[str],
    workload: Workload,
    *,
    on_answer: Callable[[Attempt], None] = lambda _: None,
    enough: Callable[[], bool] = lambda: False,
) -> list[Attempt]:
    """Fire *workload* at *urls* in turn, and return every attempt, in the order they were sent.

    No new purchase is begun once *enough* says so; those begun are seen to their end.

    The first purchases, one per concurrent buyer, are sent but for their last byte, over
    connections opened beforehand; the last bytes then go out together. So they meet at the
    service, however slow this process is. Those of `arrivals_s` go out whole, each in its time.
    Every purchase has a buyer of its own, so that a ticket can be traced to it.
    """
    targets = [purchase_url(url) for url in urls]
    if not targets:
        raise UsageError("at least one --url is needed")
    run = secrets.token_hex(4)
    queue = iter(range(workload.purchases))
    history: list[Attempt] = []
    # Each buyer keeps a connection: none of them may wait for another's.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        buyers = min(workload.concurrency, workload.purchases)
        await _open_connections(session, list(itertools.islice(itertools.cycle(targets), buyers)))
        gate = _Gate(buyers if workload.arrivals_s is None else 0)
        start = time.monotonic()

        async def buy() -> None:
            held_by: _Gate | None = gate
            for number in queue:
                if enough():
                    return
                if workload.arrivals_s is not None:
                    await asyncio.sleep(start + workload.arrivals_s[number] - time.monotonic())
                asked = Attempt(
                    purchase=f"{run}-{number + 1}",
                    url="",
                    user=f"buyer-{run}-{number + 1}",
                    event=workload.event,
                    quantity=workload.quantity,
                    sent_s=0.0,
                    answered_s=0.0,
                    outcome="unknown",
                    key=str(uuid.uuid4()) if workload.keys else None,
                )
                tries: list[Attempt] = []
                while True:
                    target = targets[(number + len(tries)) % len(targets)]
                    trying = replace(
                        asked, sent_s=time.monotonic(), url=str(target.with_user(None))
                    )  # a history holds no password
                    answered = await _attempt(session, target, trying, held_by, workload.timeout_s)
                    held_by = None
                    history.append(answered)
                    on_answer(answered)
                    tries.append(answered)
                    pause = min(_FIRST_PAUSE_S * 2 ** (len(tries) - 1), _LONGEST_PAUSE_S)
                    over_s = tries[0].answered_s + workload.retry_s
                    if time.monotonic() + pause > over_s or not workload.asks_again(tries):
                        break
                    await asyncio.sleep(pause)

        await asyncio.gather(*(buy() for _ in range(buyers)))
    return sorted(history, key=lambda attempt: attempt.sent_s)


async def takes_keys(url: str) -> bool:
    """Ask a service's OpenAPI document whether it takes an `Idempotency-Key`; no answer is no."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(purchase_url(url).parent / "openapi.json") as response,
        ):
            document = await response.json()
            parameters = document["paths"]["/purchase"]["post"]["parameters"]
            return any(each["name"].lower() == "idempotency-key" for each in parameters)
    return False


async def _open_connections(session: aiohttp.ClientSession, targets: Sequence[URL]) -> None:
    async def touch(target: URL) -> None:
        # Whatever it answers, the connection stays open. What is wrong shows at the purchase.
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(target.with_path("/healthz")) as response:
                await response.read()

    await asyncio.gather(*(touch(target) for target in targets))


class _Gate:
    """Holds back the last byte of so many requests until all of them have come so far."""

    def __init__(self, awaited: int) -> None:
        self._awaited = awaited
        self._open = asyncio.Event()
        self.arrive(0)

    def arrive(self, requests: int = 1) -> None:
        """Count requests that are ready, or have failed and will not be."""
        self._awaited -= requests
        if self._awaited <= 0:
            self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def pass_through(self) -> None:
        """Wait for the others, but not for ever: one that cannot connect must not ruin all."""
        self.arrive()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._open.wait(), _PATIENCE_S)
        self._open.set()


class _Body:
    """A request's body that stops before its last byte while the gate is closed."""

    def __init__(self, content: bytes, gate: _Gate | None) -> None:
        self._content = content
        self._gate = None if gate is None or gate.is_open else gate
        self.held = self._gate is not None
        self.sent_s = time.monotonic()
        self.on_sent: Callable[[], None] = lambda: None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = self._content
        if self._gate is not None:
            yield rest[:-1]
            rest = rest[-1:]
            self.held = False
            await self._gate.pass_through()
        self.sent_s = time.monotonic()
        self.on_sent()
        yield rest

    def give_up(self) -> None:
        """Let the others go on without this one, if it never came to the gate."""
        if self._gate is not None and self.held:
            self.held = False
            self._gate.arrive()


async def _attempt(
    session: aiohttp.ClientSession,
    target: URL,
    asked: Attempt,
    gate: _Gate | None,
    timeout_s: float,
) -> Attempt:
    wish = {"userId": asked.user, "eventId": asked.event, "quantity": asked.quantity}
    content = json.dumps(wish).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "X-Request-Id": asked.purchase,
    }
    if asked.key is not None:
        headers["Idempotency-Key"] = f'"{asked.key}"'
    body = _Body(content, gate)
    answered = await _post(session, target, asked, headers, body, timeout_s=timeout_s)
    body.give_up()
    return replace(answered, sent_s=body.sent_s)


async def _post(
    session: aiohttp.ClientSession,
    target: URL,
    asked: Attempt,
    headers: Mapping[str, str],
    body: _Body,
    *,
    timeout_s: float,
) -> Attempt:
    now = asyncio.get_running_loop().time
    try:
        # The answer's time runs from the last byte on, not from the wait for the others.
        async with asyncio.timeout(2 * _PATIENCE_S + timeout_s) as limit:
            body.on_sent = lambda: limit.reschedule(now() + timeout_s)
            # A redirect is an answer like any other: followed, it would end as a page's 200.
            async with session.post(
                target, data=body, headers=headers, allow_redirects=False
            ) as response:
                text = await response.read()
                return _judge(asked, response.status, text)
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
    ) as problem:
        return replace(
            asked, answered_s=time.monotonic(), outcome="failed", message=_one_line(problem)
        )
    except (aiohttp.ClientError, TimeoutError) as problem:
        return replace(asked, answered_s=time.monotonic(), message=_one_line(problem))


def _judge(asked: Attempt, status: int, text: bytes) -> Attempt:
    answered = replace(asked, answered_s=time.monotonic(), status=status)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    fields: dict[str, Any] = answer if isinstance(answer, dict) else {}
    if 200 <= status < 300:
        numbers = _numbers(fields.get("tickets"))
        return replace(
            answered,
            outcome="ok",
            tickets=numbers or (),
            message="" if numbers is not None else "sold, but the answer has no list of tickets",
        )
    message = str(fields.get("error", ""))[:200]
    if fields.get("code") == _OUR_UNKNOWN:
        return replace(answered, message=message)
    return replace(answered, outcome="refused", message=message)


def _numbers(tickets: Any) -> tuple[int, ...] | None:
    if not isinstance(tickets, list):
        return None
    try:
        return tuple(_number(ticket) for ticket in tickets)
    except ValueError:
        return None


def _number(ticket: Any) -> int:
    if isinstance(ticket, bool) or not isinstance(ticket, (int, str)):
        raise ValueError("not a ticket number")
    return int(ticket)


def _one_line(problem: BaseException) -> str:
    return (str(problem) or type(problem).__name__).splitlines()[0][:200]
