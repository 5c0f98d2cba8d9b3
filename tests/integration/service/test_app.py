"""The HTTP contract, of real server processes."""

import contextlib
import io
import json

import psycopg
import pytest
from jsonschema_rs import Draft202012Validator
from yarl import URL

from tests.support.buying import read_metrics
from tests.support.malformed import MALFORMED
from tests.support.raw_http import BODY
from tests.support.web_servers import serve_sales
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.schemas import SCHEMAS, ensure_schemas
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.services import start_service
from ticketsvc.service.openapi import document
from ticketsvc.service.request_limits import MAX_BODY_BYTES

JSON = {"Content-Type": "application/json"}


class Shop:
    """A service, its database, and a client that holds every answer against the contract."""

    def __init__(self, url, allocator, connection):
        mechanism = ALLOCATORS[allocator].mechanism
        self.url, self.schema, self.connection = url, mechanism.schemas[0], connection
        self.takes_keys = mechanism.claims_keys

    def ledgers(self):
        return [read_ledger(self.connection, schema) for schema in SCHEMAS]

    async def ask(self, http, method, path, **options):
        target = URL(self.url + path, encoded=True)
        async with http.request(method, target, **options) as response:
            text = await response.text()
            _hold_against_contract(method, path, response, text)
            return response.status, json.loads(text), response.headers

    async def buy(self, http, quantity=8, event="E", user="u", key=None):
        body = {"userId": user, "eventId": event, "quantity": quantity}
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.ask(http, "POST", "/purchase", json=body, headers=headers)


def _hold_against_contract(method, path, response, text):
    assert response.content_type == "application/json"
    if response.status >= 400:
        answer = json.loads(text)
        assert answer["success"] is False
        assert answer["error"]
        assert len(answer["error"].splitlines()) == 1
        for secret in ("Traceback", "SELECT", "INSERT", "UPDATE", "psycopg", "ticket_pools "):
            assert secret not in text
    parts = path.partition("?")[0].split("/")
    for template, operations in document(keys=True)["paths"].items():
        shape = template.split("/")
        fits = len(shape) == len(parts) and all(
            there == here or there.startswith("{") for there, here in zip(shape, parts, strict=True)
        )
        if fits and method.lower() in operations:
            documented = operations[method.lower()]["responses"][str(response.status)]
            reference = documented["content"]["application/json"].get("schema", {})
            schema = {**reference, "components": document(keys=True)["components"]}
            Draft202012Validator(schema).validate(json.loads(text))


# One allocator of each schema: that the others keep the contract is shown by tests of allocators,
# idempotency keys, the service's role and bursts.
@pytest.fixture(scope="module", params=["naive", "group_commit"])
def shop(request, server):
    with (
        server.clone() as url,
        psycopg.connect(url, autocommit=True) as connection,
        start_service(url, request.param) as service,
    ):
        yield Shop(service.url, request.param, connection)


@contextlib.asynccontextmanager
async def open_shop(database):
    """Serve in this process, by `range`."""
    async with serve_sales(database, "range", pool_size=2) as url:
        yield Shop(url, "range", None)


@pytest.fixture(autouse=True)
def stock(request):
    """Event E with 80 tickets, 16 of them sold, where the test has a shop."""
    if "shop" in request.fixturenames:
        shop = request.getfixturevalue("shop")
        reset_event(shop.connection, shop.schema, "E", 80, 16)


async def test_a_purchase(shop, http):
    status, answer, _ = await shop.buy(http, 16)
    assert (status, answer) == (200, {"success": True, "tickets": list(range(17, 33))})


@pytest.mark.parametrize(
    ("wish", "refused"),
    [({"quantity": 72}, (409, "sold_out")), ({"event": "NONE"}, (404, "event_not_found"))],
)
async def test_what_is_not_there_is_not_sold(shop, http, wish, refused):
    before = shop.ledgers()
    status, answer, _ = await shop.buy(http, **wish)
    assert (status, answer["code"]) == refused
    assert wish.get("event", "") in answer["error"]
    assert shop.ledgers() == before


async def chunks():
    for _ in range(160):
        yield b" " * 64 * 1024


def posted(data, headers=None):
    return {"data": data, "headers": headers or JSON}


UNSUPPORTED = ("unsupported_media_type", "application/json, without a Content-Encoding")
LARGE = b" " * 10_000_000
KINDS = ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "nonsense"]
NO_KEYS = [[""], ["a b"], ['a"'], ["k" * 129], ["a", "a"]]
# How a purchase is posted, how it is refused, and what the error names.
REFUSED = [
    *((posted(body), 400, "invalid_purchase", named) for body, named in MALFORMED.values()),
    *(
        (posted(BODY, [*headers, *JSON.items()]), 400, "invalid_purchase", "Idempotency-Key")
        for headers in ([("Idempotency-Key", key) for key in keys] for keys in NO_KEYS)
    ),
    *(
        (
            posted(BODY, [*JSON.items(), *(("Content-Encoding", one) for one in coded)]),
            415,
            *UNSUPPORTED,
        )
        for coded in (["gzip"], ["zstd"], ["nonsense"], ["Identity", "br"])
    ),
    *((posted(BODY, {"Content-Type": kind}), 415, *UNSUPPORTED) for kind in KINDS),
    *(
        (posted(data, headers), 413, "too_large", str(MAX_BODY_BYTES))
        for data, headers in (
            (lambda: io.BytesIO(LARGE), JSON),
            (chunks, JSON),
            (lambda: io.BytesIO(LARGE + BODY), JSON),
            (b" " * (MAX_BODY_BYTES + 1), JSON),
        )
    ),
]


async def test_what_is_refused_says_why_and_changes_nothing(shop, http):
    before = shop.ledgers()
    for options, expected, code, named in REFUSED:
        data = options["data"]() if callable(options["data"]) else options["data"]
        status, answer, _ = await shop.ask(http, "POST", "/purchase", **{**options, "data": data})
        assert (status, answer["code"]) == (expected, code), (options["headers"], answer)
        assert named in answer["error"]
    assert shop.ledgers() == before


async def test_the_largest_body_and_a_content_type_with_parameters(shop, http):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    body = b" " * (MAX_BODY_BYTES - len(BODY) - 1) + BODY
    status, _, _ = await shop.ask(http, "POST", "/purchase", data=body, headers=headers)
    assert status == 200


OTHER_METHODS = [
    *((method, "/purchase", {"POST"}) for method in ("GET", "PUT", "OPTIONS")),
    ("POST", "/events", {"GET", "HEAD"}),
    ("DELETE", "/events/E", {"GET", "HEAD"}),
    ("POST", "/healthz", {"GET", "HEAD"}),
]


async def test_wrong_method_and_no_such_path(shop, http):
    for method, path, allowed in OTHER_METHODS:
        status, answer, headers = await shop.ask(http, method, path, data=BODY, headers=JSON)
        assert (status, answer["code"]) == (405, "method_not_allowed")
        assert set(headers["Allow"].split(",")) == allowed
    for path in ("/", "/nope", "/events/", "/events/E/tickets", "/purchase/", "//"):
        status, answer, _ = await shop.ask(http, "GET", path)
        assert (status, answer["code"]) == (404, "path_not_found")


async def test_events(shop, http):
    status, answer, _ = await shop.ask(http, "GET", "/events")
    assert status == 200
    assert answer["events"] == [{"eventId": "E", "total": 80, "available": 64}]
    assert (await shop.ask(http, "GET", "/events/E"))[1] == answer["events"][0]


NOT_THERE = {
    404: [
        *("NONE", "%F0%9F%8E%AB", "a%2Fb", "%FF", "E" * 50),
        *("NONE/tickets/1", "E/tickets/17", "E/tickets/2147483647"),
    ],
    400: [
        *("%00", "E%0A", "E" * 51, "E" * 51 + "/tickets/1"),
        *("E/tickets/2147483648", "E/tickets/000000000019999999999", "E/tickets/" + "9" * 5000),
        "E/tickets/" + "0" * 10 + "1" + "0" * 5000,
        *(f"E/tickets/{number}" for number in ("0", "-1", "1.0", "1_0", "%D9%A1", "%20")),
    ],
}


async def test_reading_what_is_not_there(shop, http):
    for expected, paths in NOT_THERE.items():
        for path in paths:
            assert (await shop.ask(http, "GET", "/events/" + path))[0] == expected, path


async def test_who_holds_a_ticket(shop, http):
    await shop.buy(http, user="ann")
    for number in (1, 8, 9, 16, 17, 24):
        status, answer, _ = await shop.ask(http, "GET", f"/events/E/tickets/{number}")
        holder = "ann" if number > 16 else f"user_{(number - 1) // 8 + 1}_E"
        assert (status, answer["holders"]) == (200, [holder])


async def test_every_holder_of_a_duplicate_is_shown(shop, http):
    if shop.schema != "original":
        pytest.skip("there are none where the database refuses them")
    shop.connection.execute(
        "INSERT INTO original.issued_tickets (event_id, user_id, ticket_number) VALUES "
        "('E', 'thief', 1)"
    )
    _, answer, _ = await shop.ask(http, "GET", "/events/E/tickets/1")
    assert answer["holders"] == ["thief", "user_1_E"]


async def test_health_and_readiness(shop, http):
    assert (await shop.ask(http, "GET", "/healthz"))[:2] == (200, {"status": "alive"})
    assert (await shop.ask(http, "GET", "/readyz"))[:2] == (200, {"status": "ready"})


async def test_the_contract_is_served(shop, http):
    served = document(keys=shop.takes_keys)
    assert (await shop.ask(http, "GET", "/openapi.json"))[:2] == (200, served)
    assert ("parameters" in served["paths"]["/purchase"]["post"]) == shop.takes_keys


async def test_a_purchase_that_is_asked_for_again_under_its_key(shop, http):
    before = shop.ledgers()
    status, answer, _ = await shop.buy(http, key='"again"')
    if not shop.takes_keys:
        assert (status, answer["code"]) == (400, "keys_unsupported")
        assert shop.ledgers() == before
        return
    assert (status, answer["tickets"]) == (200, list(range(17, 25)))
    after = shop.ledgers()
    for key in ('"again"', "again"):
        assert (await shop.buy(http, key=key))[:2] == (200, answer)
    status, refusal, _ = await shop.buy(http, 16, key="again")
    assert (status, refusal["code"]) == (422, "key_reused")
    status, refusal, _ = await shop.buy(http, 800, key="again")
    assert (status, refusal["code"]) == (422, "key_reused")
    assert shop.ledgers() == after


async def test_metrics_count_outcomes(shop, http):
    before = await read_metrics(http, shop.url)
    await shop.buy(http, 16)
    await shop.buy(http, 8000)
    await shop.buy(http, -8)
    after = await read_metrics(http, shop.url)
    grown = {name: after[name] - before.get(name, 0) for name in after}

    def count(outcome):
        (name,) = [
            name
            for name in after
            if name.startswith("ticketsvc_purchases_total") and f'outcome="{outcome}"' in name
        ]
        return grown[name]

    assert (count("sold"), count("sold_out"), count("invalid_purchase")) == (1, 1, 1)
    assert sum(v for k, v in grown.items() if k.startswith("ticketsvc_tickets_sold_total")) == 16
    assert after['ticketsvc_pool{what="size"}'] == 10


async def test_a_metric_is_not_made_of_what_clients_send(shop, http):
    for n in range(20):
        await shop.ask(http, "GET", f"/nope{n}")
        await shop.ask(http, "GET", f"/events/X{n}")
    assert not [
        name for name in await read_metrics(http, shop.url) if "nope" in name or "X1" in name
    ]


async def test_text_the_database_cannot_hold_is_the_clients_fault(server, http):
    """A database in another encoding than UTF-8 must not turn an input into a 500."""
    other = "template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
    with server.clone(other) as database, psycopg.connect(database, autocommit=True) as connection:
        ensure_schemas(connection)
        reset_event(connection, "fixed", "E", 80)
        async with open_shop(database) as shop:
            assert (await shop.buy(http, user="é"))[0] == 200
            assert (await shop.buy(http, user="Ω"))[0] == 400
            assert (await shop.buy(http, event="Ω"))[0] == 400
            assert (await shop.ask(http, "GET", "/events/%CE%A9"))[0] == 400
        assert read_ledger(connection, "fixed")[0].available == 72


async def test_a_database_without_events_is_not_ready_and_says_why(database, http):
    async with open_shop(database) as shop:
        status, answer, headers = await shop.ask(http, "GET", "/readyz")
        assert (status, answer["code"]) == (503, "nothing_to_sell")
        assert "no event" in answer["error"]
        assert "Retry-After" in headers
        assert (await shop.ask(http, "GET", "/events"))[1] == {"events": []}
        assert (await shop.buy(http))[1]["error"] == "event 'E' not found"
