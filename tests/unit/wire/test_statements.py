"""What a client's statement is."""

import pytest

from ticketsvc.lab.wire.statements import kind_of, parts


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("BEGIN", "begin"),
        ("start transaction isolation level serializable", "begin"),
        ("COMMIT", "end"),
        ("END", "end"),
        ("rollback", "end"),
        ("PREPARE TRANSACTION 'x'", "end"),
        ("ROLLBACK TO SAVEPOINT a", "back"),
        ("rollback work to a", "back"),
        ("SAVEPOINT a", "passes"),
        ("SET search_path = x", "passes"),
        ("show transaction_isolation", "passes"),
        ("", "passes"),
        ("-- only a comment", "passes"),
        ("VACUUM t", "alone"),
        ("ROLLBACK PREPARED 'x'", "alone"),
        ("(SELECT 1) UNION (SELECT 2)", "statement"),
        ("endless()", "statement"),
        ("CALL buy(1)", "statement"),
        ("SET CONSTRAINTS ALL IMMEDIATE", "statement"),
        ("DISCARD ALL", "alone"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "alone"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "alone"),
        ("CREATE INDEX i ON t (a)", "statement"),
        ("/* a */ -- b\n SELECT 1", "statement"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "statement"),
        ("update t set a = 1", "statement"),
    ],
)
def test_a_statement_is_known_by_its_first_words(text, kind):
    assert kind_of(text) == kind


def test_a_semicolon_in_quotes_or_comments_separates_nothing():
    text = """INSERT INTO t VALUES ('a;b'); SELECT $x$;$x$ -- ;\n; UPDATE "a;b" SET c = 1;"""
    assert len(parts(text)) == 3


def test_a_quote_behind_a_backslash_ends_an_escaped_text_only():
    assert parts(r"SELECT E'a\';b'; SELECT 'c\'; SELECT 1") == [
        r"SELECT E'a\';b'",
        r"SELECT 'c\'",
        "SELECT 1",
    ]
