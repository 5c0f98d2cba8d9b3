import re

import pytest

from ticketsvc.database.schemas import SCHEMAS, ddl
from ticketsvc.database.statements import SQL_FOLDER, load, source

TABLELESS = (
    *("probe", "take_lock"),
    *("columns", "position", "unflushed", "busy", "server_processes"),  # of the whole server
)
FILES = sorted(path.stem for path in (SQL_FOLDER / "statements").glob("*.sql"))


def test_there_are_files():
    assert {"naive", "range", "reading", "seeding", "ticket_rows"} <= set(FILES)


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
@pytest.mark.parametrize("schema", SCHEMAS)
def test_schema_is_filled_in(file, schema):
    for statement in load(file, schema).values():
        assert b"{schema}" not in statement.query
        assert b'"%s".' % schema.encode() in statement.query or statement.name in TABLELESS


def test_schema_is_quoted():
    query = load("reading", 'a"; drop').get("one_pool").query
    assert b'"a""; drop".ticket_pools' in query


def test_unknown_file():
    with pytest.raises(FileNotFoundError):
        load("none", "fixed")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_ddl_is_of_its_schema_only(schema):
    others = set(SCHEMAS) - {schema}
    code = re.sub(r"--.*", "", ddl(schema))
    assert f"CREATE SCHEMA {schema};" in code
    assert not any(f"{other}." in code for other in others)
