"""Send a workload to services, and return every attempt with its outcome."""

import asyncio
import contextlib
import itertools
import secrets
import time
import uuid
from collections.abc import Callable, Sequence

import aiohttp
from yarl import URL

from ticketsvc.lab.workload.barrier import Barrier
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload, purchase_url
from ticketsvc.lab.workload.sender import CONNECT_S, send_attempt

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.4  # before a retry


async def run_workload(
    urls: Sequence[str],
    workload: Workload,
    *,
    on_answer: Callable[[Attempt], None] = lambda _: None,
    enough: Callable[[], bool] = lambda: False,
    connect_s: float = CONNECT_S,
) -> list[Attempt]:
    """Send *workload* to *urls* in turn, and return every attempt, in the order they were sent.

    The first purchases, one per concurrent buyer, are sent up to their last byte, over
    connections opened beforehand; then their last bytes are sent together. With `arrivals_s`
    each purchase is sent whole at its time. Every purchase has a buyer of its own, so that a
    ticket can be traced to it. When *enough* returns true, no new purchase begins; those in
    flight are completed.
    """
    targets = [purchase_url(url) for url in urls]
    run = secrets.token_hex(4)
    queue = iter(range(workload.purchases))
    history: list[Attempt] = []
    # No limit on connections: a buyer keeps one, and must not wait for another's.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        buyers = min(workload.concurrency, workload.purchases)
        await _open_connections(session, list(itertools.islice(itertools.cycle(targets), buyers)))
        barrier = Barrier(buyers, connect_s) if workload.arrivals_s is None else None
        start = time.monotonic()

        async def buy(number: int, barrier: Barrier | None) -> None:
            purchase = f"{run}-{number + 1}"
            key = str(uuid.uuid4()) if workload.keys else None
            tries: list[Attempt] = []
            while True:
                target = targets[(number + len(tries)) % len(targets)]
                attempt = Attempt(
                    purchase,
                    url=str(target.with_user(None)),  # without a password
                    user=f"buyer-{purchase}",
                    event=workload.event,
                    quantity=workload.quantity,
                    sent_s=0.0,
                    answered_s=0.0,
                    outcome="unknown",
                    key=key,
                )
                answered = await send_attempt(
                    session, target, attempt, barrier=barrier, timeout_s=workload.timeout_s
                )
                barrier = None
                history.append(answered)
                on_answer(answered)
                tries.append(answered)
                pause = min(_FIRST_PAUSE_S * 2 ** (len(tries) - 1), _LONGEST_PAUSE_S)
                end = tries[0].answered_s + workload.retry_s
                if time.monotonic() + pause > end or not workload.wants_retry(tries):
                    return
                await asyncio.sleep(pause)

        async def keep_buying() -> None:
            first = barrier
            for number in queue:
                if enough():
                    return
                if workload.arrivals_s is not None:
                    await asyncio.sleep(start + workload.arrivals_s[number] - time.monotonic())
                await buy(number, first)
                first = None

        await asyncio.gather(*(keep_buying() for _ in range(buyers)))
    return sorted(history, key=lambda attempt: attempt.sent_s)


async def takes_keys(url: str) -> bool | None:
    """Return whether a service's OpenAPI document lists `Idempotency-Key`; None: no connection."""
    timeout = aiohttp.ClientTimeout(total=CONNECT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(purchase_url(url).parent / "openapi.json") as response,
        ):
            document = await response.json()
            parameters = document["paths"]["/purchase"]["post"]["parameters"]
            return any(each["name"].lower() == "idempotency-key" for each in parameters)
    except (aiohttp.ClientConnectorError, TimeoutError):
        return None
    except (aiohttp.ClientError, ValueError, LookupError, TypeError):
        return False


async def _open_connections(session: aiohttp.ClientSession, targets: Sequence[URL]) -> None:
    async def touch(target: URL) -> None:
        # Whatever the answer is, the connection stays open. What is wrong shows at the purchase.
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(target.with_path("/healthz")) as response:
                await response.read()

    await asyncio.gather(*(touch(target) for target in targets))
