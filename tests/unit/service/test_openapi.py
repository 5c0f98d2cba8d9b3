"""The contract says what the application does: same routes, same limits."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.pool import Pool
from ticketsvc.errors import InvalidPurchase
from ticketsvc.purchases import MAX_ID_LENGTH, MAX_QUANTITY, TICKETS_PER_BLOCK, Purchase, read_key
from ticketsvc.service.app import create_app
from ticketsvc.service.openapi import document
from ticketsvc.settings import Settings

SCHEMAS = document(keys=True)["components"]["schemas"]


async def test_routes_are_the_documented_ones():
    app = create_app(Pool("", Settings()), ALLOCATORS["range"], "fixed", max_waiting=10)
    served = {
        (route.resource.canonical, route.method)
        for route in app.router.routes()
        if route.method != "HEAD"
    }
    documented = {
        (path, method.upper())
        for path, methods in document(keys=True)["paths"].items()
        for method in methods
    }
    assert served == documented


def test_unavailable_tells_when_to_come_back():
    for operations in document(keys=True)["paths"].values():
        for operation in operations.values():
            if "503" in operation["responses"]:
                assert "Retry-After" in operation["responses"]["503"]["headers"]


PURCHASE = Draft202012Validator(SCHEMAS["Purchase"])
WHOLE = {"userId": "u" * MAX_ID_LENGTH, "eventId": "E" * MAX_ID_LENGTH, "quantity": MAX_QUANTITY}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "userId": st.text(max_size=55) | st.integers(),
            "eventId": st.sampled_from(["E", "", "E\0", "e" * 51]),
            "quantity": st.integers(-16, 9000) | st.booleans() | st.none() | st.text(max_size=3),
        },
    )
)
@example(WHOLE)
@example({**WHOLE, "userId": "u" * (MAX_ID_LENGTH + 1)})
@example({**WHOLE, "eventId": "E" * (MAX_ID_LENGTH + 1)})
@example({**WHOLE, "quantity": MAX_QUANTITY + TICKETS_PER_BLOCK})
@example({**WHOLE, "quantity": TICKETS_PER_BLOCK - 1})
@example({**WHOLE, "quantity": 0})
def test_contract_and_validation_agree(body):
    try:
        Purchase.from_json(json.dumps(body).encode())
        valid = True
    except InvalidPurchase:
        valid = False
    assert PURCHASE.is_valid(body) == valid


@pytest.mark.parametrize(
    "sent",
    ["k", '"k"', "", '""', '"k', "a b", "é", "k" * 128, "k" * 129, '"' + "k" * 128 + '"', "a\\b"],
)
def test_contract_and_header_agree(sent):
    schema = next(
        parameter["schema"]
        for parameter in document(keys=True)["paths"]["/purchase"]["post"]["parameters"]
        if parameter["name"] == "Idempotency-Key"
    )
    try:
        read_key(sent)
        taken = True
    except InvalidPurchase:
        taken = False
    assert Draft202012Validator(schema).is_valid(sent) == taken
