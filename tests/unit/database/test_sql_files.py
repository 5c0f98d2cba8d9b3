"""All SQL is in `sql/`: the package's string literals have none."""

import ast
import re

import pytest

from ticketsvc.settings import ROOT

# A statement, with what makes it one: prose may begin with one of these words.
_STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT INTO\s|UPDATE \S+ SET\s|DELETE FROM\s|TRUNCATE\s|WITH \w+ AS|EXPLAIN\s|"
    r"(CREATE|ALTER|DROP) (OR REPLACE )?(UNIQUE )?"
    r"(TABLE|INDEX|FUNCTION|TRIGGER|ROLE|DATABASE|SCHEMA|VIEW|SYSTEM|EXTENSION)\b|"
    r"GRANT \w+|REVOKE \w+|CHECKPOINT$|VACUUM\b|ANALYZE\b|LOCK TABLE\b)"
)
EDITS_A_FUNCTION = {
    "ticketsvc/lab/mutation/mutants.py"
}  # reads sql/fixed.sql, and replaces text in it


def statements_in(source):
    """Return the SQL statements among the string literals of *source*, docstrings left out."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        node.value.decode() if isinstance(node.value, bytes) else node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, (str, bytes))
        and id(node) not in docstrings
    ]
    return [text for text in texts if _STATEMENT.match(text)]


FILES = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "ticketsvc").rglob("*.py"))}


def test_no_string_literal_of_the_package_is_a_statement():
    dirty = {name for name, path in FILES.items() if statements_in(path.read_text())}
    assert dirty <= EDITS_A_FUNCTION


@pytest.mark.parametrize(
    "literal",
    ['"SELECT 1"', 'f"DROP SCHEMA IF EXISTS {name}"', 'b"UPDATE t SET a = 1"', '"CHECKPOINT"'],
)
def test_a_statement_in_a_literal_is_found(literal):
    """The negative control."""
    source = f"def f(name):\n    '''SELECT is a word here.'''\n    return {literal}"
    assert len(statements_in(source)) == 1


@pytest.mark.parametrize("literal", ['"BEGIN"', '"SET LOCAL lock_timeout = 0"', '"Select a seat"'])
def test_control_of_a_session_and_prose_are_no_statements(literal):
    assert statements_in(f"x = {literal}") == []
