"""How `stress` reads the answers of services it knows nothing about."""

import json

import pytest

from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import purchase_url
from ticketsvc.lab.workload.sender import read_answer

ATTEMPT = Attempt("p", "http://h/purchase", "u", "E", 8, 0.0, 0.0, "unknown")
OURS_UNKNOWN = {"success": False, "error": "it broke", "code": "outcome_unknown"}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "tickets"),
    [
        (200, {"success": True, "tickets": [1, 2]}, "ok", (1, 2)),
        (201, {"tickets": [7]}, "ok", (7,)),
        (202, {"tickets": ["7", "8"]}, "ok", (7, 8)),
        (200, {"tickets": []}, "ok", ()),
        (200, {"success": True}, "ok", ()),
        (204, b"", "ok", ()),
        (200, b"sold!", "ok", ()),
        (200, b"\xff\xfe", "ok", ()),
        (200, b"[" * 100_000, "ok", ()),
        (200, [1, 2], "ok", ()),
        (200, {"tickets": "12"}, "ok", ()),
        (200, {"tickets": {"1": 2}}, "ok", ()),
        (200, {"tickets": [1, None]}, "ok", ()),
        (200, {"tickets": [True]}, "ok", ()),
        (200, {"tickets": [1.5]}, "ok", ()),
        (200, {"tickets": ["A1"]}, "ok", ()),
        (200, b'{"tickets": [1e999]}', "ok", ()),
        (302, b"", "refused", ()),
        (400, {"success": False, "error": "Not enough tickets available"}, "refused", ()),
        (409, {"error": {"nested": 1}}, "refused", ()),
        (418, b"teapot", "refused", ()),
        (500, b"<html>", "refused", ()),
        (503, {"error": "later", "code": "overloaded"}, "refused", ()),
        (503, OURS_UNKNOWN, "unknown", ()),
        (400, {"tickets": [1]}, "refused", ()),
    ],
)
def test_answer(status, body, outcome, tickets):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    answered = read_answer(ATTEMPT, status, text)
    assert (answered.status, answered.outcome, answered.tickets) == (status, outcome, tickets)
    assert (answered.purchase, answered.user, answered.event) == ("p", "u", "E")


def test_sold_without_numbers_is_said():
    assert read_answer(ATTEMPT, 200, b"{}").message
    assert not read_answer(ATTEMPT, 200, b'{"tickets": []}').message


def test_message_is_the_services_own_and_bounded():
    said = read_answer(ATTEMPT, 400, json.dumps({"error": "Event not found"}).encode())
    assert said.message == "Event not found"
    assert len(read_answer(ATTEMPT, 400, json.dumps({"error": "x" * 9999}).encode()).message) == 200


@pytest.mark.parametrize(
    ("url", "posted_to"),
    [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000/purchase"),
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000/purchase"),
        ("http://127.0.0.1:3000/purchase", "http://127.0.0.1:3000/purchase"),
        ("https://shop.example/api", "https://shop.example/api/purchase"),
        ("http://[::1]:3000", "http://[::1]:3000/purchase"),
    ],
)
def test_purchases_go_to(url, posted_to):
    assert str(purchase_url(url)) == posted_to


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:3000", "ftp://h", "http://", "http://h:99999", "/purchase"]
)
def test_bad_url(url):
    with pytest.raises(UsageError, match="--url"):
        purchase_url(url)


def test_bad_url_hides_its_password():
    with pytest.raises(UsageError) as refusal:
        purchase_url("ftp://user:geheim@h")
    assert "geheim" not in str(refusal.value)
