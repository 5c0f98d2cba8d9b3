import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.malformed import MALFORMED, body_of
from ticketsvc.errors import InvalidPurchase
from ticketsvc.purchases import (
    MAX_ID_LENGTH,
    MAX_KEY_LENGTH,
    MAX_QUANTITY,
    TICKETS_PER_BLOCK,
    Purchase,
    TicketRange,
    is_identifier,
    read_key,
)


def accepted(data):
    try:
        return Purchase.from_json(data)
    except InvalidPurchase:
        return None


@pytest.mark.parametrize(("data", "named"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_body_is_refused_by_name(data, named):
    with pytest.raises(InvalidPurchase) as refusal:
        Purchase.from_json(data)
    message = str(refusal.value)
    assert named in message
    assert len(message.splitlines()) == 1
    assert len(message) < 300


@pytest.mark.parametrize("name", ["E", "é" * MAX_ID_LENGTH, "🎫" * MAX_ID_LENGTH, "'; --", " "])
def test_id_within_bounds(name):
    purchase = Purchase.from_json(body_of(userId=name, eventId=name))
    assert (purchase.user_id, purchase.event_id) == (name, name)


def test_further_fields_are_ignored():
    assert accepted(body_of(note="x"))


@given(st.integers(-(10**13), 10**13) | st.integers(-20_000, 20_000))
@example(MAX_QUANTITY)
@example(TICKETS_PER_BLOCK)
@example(MAX_QUANTITY + TICKETS_PER_BLOCK)
@example(-8)
@example(0)
def test_only_positive_multiples_of_a_block_pass(quantity):
    allowed = 0 < quantity <= MAX_QUANTITY and quantity % TICKETS_PER_BLOCK == 0
    assert (accepted(body_of(quantity=quantity)) is not None) == allowed


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(_json)
def test_nothing_but_an_integer_is_a_quantity(value):
    assert accepted(body_of(quantity=value)) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_purchase_or_an_invalid_one(data):
    accepted(data)


@given(st.text(max_size=MAX_ID_LENGTH + 5))
def test_ids_follow_one_rule_everywhere(name):
    assert (accepted(body_of(userId=name, eventId="E")) is not None) == is_identifier(name)


def test_purchase_does_not_change():
    purchase = Purchase.from_json(body_of())
    with pytest.raises(AttributeError):
        purchase.quantity = -8


KEYS = [
    ("k", "k"),
    ('"k"', "k"),
    ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
    ('"' + "k" * MAX_KEY_LENGTH + '"', "k" * MAX_KEY_LENGTH),
]


@pytest.mark.parametrize(("sent", "key"), KEYS)
def test_a_key_is_the_same_with_quotation_marks_and_without(sent, key):
    assert read_key(sent) == key
    assert Purchase.from_json(body_of(), read_key(sent)).key == key


@pytest.mark.parametrize(
    "sent", ["", '""', '"', "a b", 'a"b', '"a', "a\\b", "é", "k" * (MAX_KEY_LENGTH + 1), "\t"]
)
def test_what_is_no_key_is_refused(sent):
    with pytest.raises(InvalidPurchase, match="Idempotency-Key"):
        read_key(sent)


def test_a_key_cannot_come_in_the_body():
    assert Purchase.from_json(body_of(key="k")).key is None


def test_range_counts_both_ends():
    assert TicketRange(9, 16).numbers() == list(range(9, 17))
