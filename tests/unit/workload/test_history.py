import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.history import Attempt, outcome_of, read_history, recording, summarise


def write_history(history, file):
    with recording(file) as record:
        for attempt in history:
            record(attempt)


SOLD = Attempt("p1", "http://h/purchase", "u1", "E", 8, 1.0, 2.0, "ok", 200, (1, 2, 3))
ALSO = Attempt("p2", "http://h/purchase", "u2", "E", 8, 1.0, 2.0, "ok", 201, (3, 4, 5))
REFUSED = Attempt("p3", "http://h/purchase", "u3", "E", 8, 1.0, 2.0, "refused", 409, (), "sold out")
LOST = Attempt("p4", "http://h/purchase", "u4", "E", 8, 1.0, 2.0, "unknown")
UNSENT = Attempt("p5", "http://h/purchase", "u5", "E", 8, 1.0, 2.0, "failed")


def test_round_trip(tmp_path):
    history = [SOLD, ALSO, REFUSED, LOST, UNSENT]
    write_history(history, tmp_path / "deeper" / "h.jsonl")
    assert read_history(tmp_path / "deeper" / "h.jsonl") == history


@given(st.text(), st.text(), st.lists(st.integers()).map(tuple))
def test_round_trip_of_anything_a_service_says(tmp_path_factory, user, message, tickets):
    file = tmp_path_factory.mktemp("h") / "h.jsonl"
    said = Attempt("p", "http://h", user, "E", 8, 0.5, 1.5, "ok", 200, tickets, message)
    write_history([said], file)
    assert read_history(file) == [said]


def test_fields_of_a_later_version_are_ignored(tmp_path):
    write_history([SOLD], tmp_path / "h")
    record = {**json.loads((tmp_path / "h").read_text()), "later": 1}
    (tmp_path / "h").write_text(json.dumps(record))
    assert read_history(tmp_path / "h") == [SOLD]


def test_empty_history(tmp_path):
    write_history([], tmp_path / "h")
    assert read_history(tmp_path / "h") == []
    assert summarise([])["purchases"] == 0


def line(**changes):
    fields = {"purchase": "p", "url": "u", "user": "u", "event": "E", "quantity": 8}
    fields |= {"sent_s": 0, "answered_s": 1, "outcome": "ok", "tickets": [1], **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "null",
        "5",
        "[]",
        "{}",
        '"text"',
        "[" * 100_000,
        line(user=...),
        line(user=["u"]),
        line(event=None),
        line(quantity="8"),
        line(outcome="sold"),
        line(outcome=None),
        line(tickets="123"),
        line(tickets=5),
        line(tickets=None),
        line(tickets=["1"]),
        line(tickets=[1.5]),
        line(tickets=[True]),
        line(tickets=[float("inf")]),
        line(tickets=[[1]]),
    ],
)
def test_bad_line_is_named(tmp_path, bad):
    (tmp_path / "h").write_text(f"{line()}\n{bad}\n")
    with pytest.raises(UsageError, match="line 2"):
        read_history(tmp_path / "h")


def test_unreadable_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_history(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        read_history(tmp_path / "binary")


def test_summary():
    summary = summarise([SOLD, ALSO, REFUSED, LOST, UNSENT])
    assert summary == {
        "purchases": 5,
        "successes": 2,
        "refused": 1,
        "failed": 1,
        "unknown": 1,
        "tickets": 6,
        "unique": 5,
        "duplicates": 1,
        "retried": {},
        "statuses": {"200": 1, "201": 1, "409": 1},
    }


def test_the_same_number_of_two_events_is_no_duplicate():
    other = Attempt("p", "http://h", "u", "F", 8, 0.0, 1.0, "ok", 200, (1, 2, 3))
    assert summarise([SOLD, other])["duplicates"] == 0


def tries(*outcomes, key="k"):
    return [
        Attempt("p", "", "u", "E", 8, at, at + 0.5, outcome, status, key=key)
        for at, (outcome, status) in enumerate(outcomes)
    ]


NO_ANSWER, TOLD = ("unknown", None), ("ok", 200)
SOLD_OUT, LATER = ("refused", 409), ("refused", 503)


@pytest.mark.parametrize(
    ("answers", "keyed", "without"),
    [
        ([NO_ANSWER, TOLD], "ok", "ok"),
        ([NO_ANSWER, SOLD_OUT], "refused", "unknown"),
        ([NO_ANSWER, LATER], "unknown", "unknown"),
        ([NO_ANSWER, ("refused", 500)], "unknown", "unknown"),
        ([NO_ANSWER, ("refused", 502)], "unknown", "unknown"),
        ([NO_ANSWER, ("refused", 429)], "unknown", "unknown"),
        ([NO_ANSWER, ("refused", 422)], "refused", "unknown"),
        ([LATER, LATER], "refused", "refused"),
        ([NO_ANSWER, NO_ANSWER], "unknown", "unknown"),
        ([("failed", None), ("failed", None)], "failed", "failed"),
        ([("failed", None), TOLD], "ok", "ok"),
    ],
)
def test_the_outcome_of_a_purchase_that_was_asked_for_again(answers, keyed, without):
    assert outcome_of(tries(*answers)) == keyed
    assert outcome_of(tries(*answers, key=None)) == without
