"""Requests nobody thought of: made from the contract, and made of bytes.

`TICKETSVC_FUZZ_REQUESTS` says how many, half of each kind; by default it is few.
"""

import asyncio
import contextlib
import json
import os

import psycopg
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import Draft202012Validator
from schemathesis.checks import CHECKS, load_all_checks
from yarl import URL

from tests.support.ledgers import is_clean
from tests.support.raw_http import BODY, BUY, JSON_HEAD
from tests.support.waiting import TIMEOUT_S, eventually
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.workload.services import start_service
from ticketsvc.service.openapi import document

# Read before a fixture takes away what the developer has set.
_ASKED = os.environ.get("TICKETSVC_FUZZ_REQUESTS")
REQUESTS = int(_ASKED or 100)
AT_ONCE = 24  # connections of one wire example
STOCK = 1_000_000_000
JSON = {"Content-Type": "application/json"}

QUIET = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "database": None,
    "phases": [Phase.generate],  # with a server behind each try, shrinking takes minutes
}

load_all_checks()
CONTRACT = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    ]
)


class Target:
    """The address of a server, and what its database holds in a few numbers."""

    def __init__(self, url, connection):
        self.url, self.connection = url, connection

    def held(self):
        """Return the tickets left, and everything else that must not change."""
        (left, *rest) = self.connection.execute(
            "SELECT (SELECT sum(available) FROM fixed.ticket_pools), "
            "(SELECT count(*) FROM fixed.ticket_pools), "
            "(SELECT count(*) FROM fixed.issued_tickets), "
            "(SELECT count(*) FROM original.issued_tickets), "
            "(SELECT sum(available) FROM original.ticket_pools)"
        ).fetchone()
        return int(left), rest


@pytest.fixture(scope="module")
def target(server):
    with server.clone() as url, psycopg.connect(url, autocommit=True) as connection:
        reset_event(connection, "fixed", "E", STOCK)
        reset_event(connection, "original", "E", 80)
        names = ("TICKETSVC_REQUEST_TIMEOUT_S", "TICKETSVC_KEEPALIVE_TIMEOUT_S")
        environment = dict.fromkeys(names, "0.2")
        with start_service(url, "group_commit", environment=environment) as service:
            target = Target(service.url, connection)
            yield target
            # Whatever it was sent, it lives, sells, and its books are right.
            left, _ = target.held()
            eventually(lambda: sells(service.url))  # not at once where a busy machine is late
            assert target.held()[0] == left - 8
            assert is_clean(connection)
            service.errors.seek(0)
            assert b"Traceback" not in service.errors.read()


def sells(url):
    answer = requests.post(url + "/purchase", data=BODY, headers=JSON, timeout=TIMEOUT_S)
    assert answer.status_code in (200, 408)
    return answer.status_code == 200


# From the contract


# Schemathesis and what it stands on warn of their own matters.
@pytest.mark.filterwarnings("default")
def test_requests_made_from_the_contract(target):
    schema = schemathesis.openapi.from_url(target.url + "/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = list(schemathesis.GenerationMode)
    # Where there is nothing to vary, a few are all there are.
    varied = [each for each in operations if each.body or list(each.iter_parameters())]
    each = max(1, REQUESTS // 2 // len(varied) // len(modes))
    with requests.Session() as session:
        for operation in operations:
            for mode in modes:
                _try(target, session, operation, mode, each)


def _try(target, session, operation, mode, times):
    seen = set()

    @settings(max_examples=times, **QUIET)
    @given(case=operation.as_strategy(generation_mode=mode), ours=st.booleans())
    def attempt(case, ours):
        if ours and isinstance(case.body, dict) and "eventId" in case.body:
            case.body["eventId"] = "E"  # or it would never sell
            if mode is not schemathesis.GenerationMode.POSITIVE:
                case.meta.generation.mode = schemathesis.GenerationMode.POSITIVE
        before = target.held()
        response = _call(case, session)
        status = response.status_code
        assert status < 500
        checks = CONTRACT if mode is case.meta.generation.mode else CONTRACT[:-1]
        case.validate_response(response, checks=checks)
        sold = 0
        if operation.path == "/purchase" and status == 200:
            tickets = tuple(response.json()["tickets"])
            if tickets not in seen:  # else it is a replay under the same key
                seen.add(tickets)
                sold = len(tickets)
        left, rest = before
        assert target.held() == (left - sold, rest)

    with contextlib.suppress(Unsatisfiable):  # without parameters there is nothing to get wrong
        attempt()


def _call(case, session):
    try:
        return case.call(session=session, timeout=TIMEOUT_S)
    except requests.ConnectionError:
        # A connection kept alive that the server closed at this moment: nothing was answered.
        return case.call(timeout=TIMEOUT_S)


# Bytes


CHUNKED = (
    b"POST /purchase HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
) % (JSON_HEAD, len(BODY), BODY)
GETS = [
    b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path
    for path in (b"/events", b"/events/E", b"/events/E/tickets/1", b"/healthz", b"/readyz")
]
SEEDS = [BUY, CHUNKED, BUY + BUY, BUY + GETS[0], *GETS]
ODD = [
    *b"\r\n|\n|\r|\0| |\t|:|%|%00|%ff|..|//|?|#|\xff|\xc3\x28|-1|0|;a=b|HTTP/1.0".split(b"|"),
    *(b"99999999999999999999", b"ffffffffffffffff", b"X: " + b"y" * 9000 + b"\r\n", b"A:\r\n" * 70),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b"Expect: 100-continue\r\n"),
    *(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Content-Encoding: gzip\r\n"),
    *(b"Expect: x\r\n", b"Connection: close\r\n"),
]
odd = st.sampled_from(ODD) | st.binary(max_size=8)
token = st.sampled_from([b"GET", b"POST", b"PUT", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"M-X"])
route = st.sampled_from([b"/purchase", b"/events", b"/events/E", b"/healthz", b"/", b"*", b"h:80"])


@st.composite
def mutated(draw):
    """A good request with a few pieces put in, taken out or replaced."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.just(start) | st.integers(start, min(len(text), start + 12)))
        text = text[:start] + draw(odd | st.just(b"")) + text[end:]
    return text


@st.composite
def assembled(draw):
    """A request of parts that need not fit."""
    path = draw(route) + draw(st.just(b"") | odd)
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"", b"HTTP/1.1 "]))
    line = b"%s %s %s\r\n" % (draw(token | st.binary(max_size=5)), path, version)
    fields = draw(
        st.lists(st.sampled_from([f for f in ODD if f.endswith(b"\r\n")]) | odd, max_size=4)
    )
    body = draw(st.sampled_from([b"", BODY, b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"-5\r\n"]))
    return line + JSON_HEAD + b"".join(fields) + b"\r\n" + body


wire = st.binary(max_size=200) | mutated() | mutated() | assembled()

DOCUMENTED = {
    int(status)
    for operations in document(keys=True)["paths"].values()
    for operation in operations.values()
    for status in operation["responses"]
}
ELSEWHERE = {404, 405, 417}  # for paths and methods that are in no contract
REFUSAL = Draft202012Validator(document(keys=True)["components"]["schemas"]["Error"])


def test_bytes(target):
    address = URL(target.url)
    with asyncio.Runner() as runner:

        @settings(max_examples=max(1, REQUESTS // 2 // AT_ONCE), **QUIET)
        @given(st.lists(wire, min_size=AT_ONCE, max_size=AT_ONCE))
        def attempt(payloads):
            before = target.held()
            answers = runner.run(_send_all(address, payloads))
            sold = 0
            for sent, (received, reset) in zip(payloads, answers, strict=True):
                for status, body in _answers(received):
                    sold += _hold_against_contract(status, body)
                if not received:
                    assert reset or not sent  # who says anything gets an answer
            left, rest = before
            now, same = target.held()
            assert same == rest
            # A reset can lose an answer. No answer speaks of a sale that did not happen.
            lost = left - now - sold
            assert lost == 0 or (lost > 0 and any(reset for _, reset in answers))

        attempt()


async def _send_all(address, payloads):
    async with asyncio.timeout(TIMEOUT_S):
        return await asyncio.gather(*(_send(address, payload) for payload in payloads))


async def _send(address, payload):
    """Send, and read until the server closes: it does, whatever it was sent."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    received, reset = b"", False
    try:
        writer.write(payload)
        await writer.drain()
        while chunk := await reader.read(2**16):
            received += chunk
    except ConnectionError:
        reset = True
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return received, reset


def _answers(received):
    while received:
        head, found, received = received.partition(b"\r\n\r\n")
        assert found
        assert head.startswith(b"HTTP/")  # an unsupported version is named again
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", 0))
        yield int(head[9:12]), received[:length]
        received = received[length:]


def _hold_against_contract(status, body):
    """Check an answer, and return how many tickets it says were sold."""
    assert status in DOCUMENTED | ELSEWHERE | {100}
    assert status < 500
    if status == 400 and not body.startswith(b"{"):
        assert b"Traceback" not in body  # not valid HTTP: aiohttp says so in its own words
    elif status >= 400:
        answer = json.loads(body)
        REFUSAL.validate(answer)
        assert len(answer["error"].splitlines()) == 1
    return len(json.loads(body).get("tickets", ())) if status == 200 and b"tickets" in body else 0
