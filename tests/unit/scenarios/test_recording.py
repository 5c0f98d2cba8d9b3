"""What is read out of a burst's recording: only marks that are true for any request."""

import pytest

from ticketsvc.lab import charts
from ticketsvc.lab.scenarios.burst import RecordedStatement
from ticketsvc.lab.scenarios.recording import explanation, statement_table

READ = "SELECT stock FROM pools WHERE event = $1"
TAKE = "UPDATE pools SET stock = stock - 1 WHERE event = $1"
NOTE = "INSERT INTO sales VALUES ($1)"


def recorded(*told):
    """Return statements that follow each other: text, connection and, if told, event and client."""
    found = []
    for place, (text, pid, *more) in enumerate(told):
        event, client = (*more, *("E1", "")[len(more) :])
        values = (event,) if "$1" in text else ()
        found.append(RecordedStatement(client, pid, text, values, place, place + 0.5, None))
    return found


def marks(statements):
    return [mark for mark in statement_table(statements)["mark"] if mark]


def test_of_shared_connections_reads_before_the_first_change_are_outdated():
    statements = recorded((READ, 1), (READ, 2), (NOTE, 1), (NOTE, 2), (TAKE, 1), (TAKE, 2))
    table = statement_table(statements)
    assert marks(statements) == ["outdated", "outdated"]
    assert list(table["kind"]) == ["read", "read", "other change", "other change", *["change"] * 2]
    assert "nobody can tell which request" in explanation(table)


@pytest.mark.parametrize(
    "told",
    [
        [(READ, 1), (TAKE, 1), (READ, 2), (TAKE, 2)],
        [(READ, 1), (READ, 2), (TAKE, 1), (READ, 3), (TAKE, 2)],
        [(READ, 1), (READ, 2), (TAKE, 1)],
        [(READ, 1), (READ, 2, "E2"), (TAKE, 1), (TAKE, 2, "E2")],
    ],
    ids=["one after the other", "read again between", "one change", "other rows"],
)
def test_of_shared_connections_nothing_else_is_marked(told):
    statements = recorded(*told)
    assert marks(statements) == []
    assert "No read is known" in explanation(statement_table(statements))


def transactions(end):
    """Return two transactions that both read before either changes; the first one ends by *end*."""
    return recorded(
        *(("BEGIN", 1), ("BEGIN", 2), (READ, 1), (READ, 2)),
        *((TAKE, 1), (end, 1), (TAKE, 2), ("COMMIT", 2)),
    )


def test_a_read_is_stale_when_a_rival_committed_before_its_transaction_did():
    table = statement_table(transactions("COMMIT"))
    [stale] = table[table["mark"] == "stale"].to_dict("records")
    assert (stale["kind"], stale["connection"]) == ("read", "connection 2")
    assert "*stale* read" in explanation(table)


def test_what_was_rolled_back_makes_no_read_stale():
    assert marks(transactions("ROLLBACK")) == []


def test_a_client_with_connections_of_its_own_owns_what_it_sends():
    statements = recorded(
        *((READ, 1, "E1", "web"), (READ, 2, "E1", "counter")),
        *((TAKE, 1, "E1", "web"), (TAKE, 2, "E1", "counter")),
    )
    table = statement_table(statements)
    assert list(table["mark"]) == ["", "stale", "", ""]
    assert list(table["connection"]) == ["web", "counter", "web", "counter"]


@pytest.mark.parametrize(
    ("statements", "title"),
    [
        (transactions("COMMIT"), "1 of 2 reads were stale when their reader wrote"),
        (
            recorded((READ, 1), (READ, 2), (TAKE, 1), (TAKE, 2)),
            "2 of 2 reads had ended before the first change of what they read",
        ),
        (recorded((READ, 1)), "1 statements on 1 connections, no read known to be out of date"),
        ([], "0 statements on 0 connections, no read known to be out of date"),
    ],
    ids=["stale", "outdated", "none", "empty"],
)
def test_the_title_of_the_chart_says_what_is_marked(statements, title):
    [axes] = charts.recorded_statements(statement_table(statements)).axes
    assert " ".join(axes.get_title(loc="left").split()) == title
    assert axes.get_xlabel()
    assert axes.get_ylabel()
