"""Send one attempt at a purchase, and read its outcome from the answer.

Works on any service that speaks the API: 2xx means sold, and the numbers are taken from the
answer's `tickets`. No other status has a meaning of its own.
"""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from ticketsvc.errors import OutcomeUnknown
from ticketsvc.lab.workload.barrier import Barrier, HeldBody
from ticketsvc.lab.workload.history import Attempt

CONNECT_S = 5.0
"""How long a connection may take to open, and a barrier may wait for those that are not open."""

NO_NUMBERS = "sold, but the answer has no list of ticket numbers"


async def send_attempt(
    session: aiohttp.ClientSession,
    target: URL,
    attempt: Attempt,
    *,
    barrier: Barrier | None,
    timeout_s: float,
) -> Attempt:
    """Send *attempt* and return it with its outcome, times and numbers.

    The answer may take *timeout_s*, counted from the last byte of the request.
    """
    request = {"userId": attempt.user, "eventId": attempt.event, "quantity": attempt.quantity}
    content = json.dumps(request).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "X-Request-Id": attempt.purchase,
    }
    if attempt.key is not None:
        headers["Idempotency-Key"] = f'"{attempt.key}"'
    body = HeldBody(content, barrier)
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(2 * CONNECT_S + timeout_s) as limit:
            body.on_sent = lambda: limit.reschedule(now() + timeout_s)
            # A redirect is an answer like any other: followed, it would end as a page's 200.
            async with session.post(
                target, data=body, headers=headers, allow_redirects=False
            ) as response:
                answered = read_answer(attempt, response.status, await response.read())
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
    ) as problem:
        answered = replace(attempt, outcome="failed", message=_one_line(problem))
    except (aiohttp.ClientError, TimeoutError) as problem:
        answered = replace(attempt, outcome="unknown", message=_one_line(problem))
    body.give_up()
    return replace(answered, sent_s=body.sent_s, answered_s=time.monotonic())


def read_answer(attempt: Attempt, status: int, text: bytes) -> Attempt:
    """Return *attempt* with the outcome, the numbers and the message of its answer."""
    answered = replace(attempt, status=status)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    fields: dict[str, Any] = answer if isinstance(answer, dict) else {}
    if 200 <= status < 300:
        numbers = _numbers(fields.get("tickets"))
        if numbers is None:
            return replace(answered, outcome="ok", message=NO_NUMBERS)
        return replace(answered, outcome="ok", tickets=numbers)
    shown = str(fields["error"]) if "error" in fields else text.decode(errors="replace")
    message = "".join(shown.strip().splitlines()[:1])[:200]
    unknown = fields.get("code") == OutcomeUnknown.code
    return replace(answered, outcome="unknown" if unknown else "refused", message=message)


def _numbers(tickets: Any) -> tuple[int, ...] | None:
    if not isinstance(tickets, list) or not {type(ticket) for ticket in tickets} <= {int, str}:
        return None
    try:
        return tuple(map(int, tickets))
    except ValueError:
        return None


def _one_line(problem: BaseException) -> str:
    return (str(problem) or type(problem).__name__).splitlines()[0][:200]
