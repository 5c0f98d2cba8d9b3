import re

import pytest

from ticketsvc.database.schemas import SCHEMAS, ddl
from ticketsvc.database.statements import SQL_FOLDER, load, source
from ticketsvc.errors import UsageError

TABLES = "ticket_pools|issued_tickets|ticket_allocations|idempotency_keys"
UNQUALIFIED = re.compile(rf"(?<![.\w'])(?:{TABLES})\b(?!')")
FILES = sorted(path.stem for path in (SQL_FOLDER / "statements").glob("*.sql"))


def test_a_statement_that_a_file_lacks_is_named_with_the_file():
    with pytest.raises(UsageError, match=r"^sql/statements/naive\.sql has no statement 'sell'$"):
        load("naive", "fixed")["sell"]


@pytest.mark.parametrize("file", FILES)
def test_blocks_are_loaded_whole(file):
    text = (SQL_FOLDER / "statements" / f"{file}.sql").read_text()
    heads = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
    assert len(heads) == len(set(heads)), "a name given twice would hide a statement"
    assert list(source(file)) == heads
    assert text.startswith("-- name: ")
    for name, block in source(file).items():
        first, *rest = block.splitlines()
        assert first.startswith("-- "), f"{name} has no describing line"
        assert "".join(rest).strip()
        assert ";" not in "".join(rest), f"{name} is more than one statement"


@pytest.mark.parametrize("file", FILES)
def test_the_schema_is_filled_in(file):
    for name, statement in load(file, "ours").items():
        assert b"{schema}" not in statement.query
        assert (b'"ours".' in statement.query) == ("{schema}." in source(file)[name])


@pytest.mark.parametrize("file", FILES)
def test_each_of_our_tables_is_named_with_its_schema(file):
    for name, block in source(file).items():
        assert not UNQUALIFIED.findall(re.sub("--.*", "", block)), name


def test_a_table_without_its_schema_is_found():
    assert UNQUALIFIED.findall("SELECT FROM ticket_pools JOIN {schema}.issued_tickets") == [
        "ticket_pools"
    ]


def test_schema_is_quoted():
    query = load("reading", 'a"; drop').get("one_pool").query
    assert b'"a""; drop".ticket_pools' in query


@pytest.mark.parametrize("schema", SCHEMAS)
def test_ddl_is_of_its_schema_only(schema):
    others = set(SCHEMAS) - {schema}
    code = re.sub(r"--.*", "", ddl(schema))
    assert f"CREATE SCHEMA {schema};" in code
    assert not any(f"{other}." in code for other in others)
