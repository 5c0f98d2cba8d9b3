"""Load SQL from files of named statements.

A file in `sql/statements/` holds blocks, each headed `-- name: NAME`, with `%(name)s`
parameters, and `{schema}` or another `{name}` where an identifier goes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from psycopg import AsyncConnection, AsyncCursor
from psycopg import sql as composing

from ticketsvc.errors import UsageError
from ticketsvc.settings import ROOT

SQL_FOLDER = ROOT / "sql"
_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One named statement, ready for one schema."""

    name: str
    query: bytes

    async def execute(
        self, connection: AsyncConnection[Any] | AsyncCursor[Any], **parameters: object
    ) -> AsyncCursor[Any]:
        """Run it on *connection*, or with a cursor of one, and return the cursor."""
        return await connection.execute(self.query, parameters)


class _Statements(dict[str, Statement]):
    """The statements of one file; one that it lacks is named with the file."""

    def __init__(self, file: str, statements: Iterable[Statement]) -> None:
        super().__init__((one.name, one) for one in statements)
        self._file = file

    def __missing__(self, name: str) -> NoReturn:
        raise UsageError(f"sql/statements/{self._file}.sql has no statement {name!r}")


@cache
def load(file: str, schema: str = "", /, **identifiers: str) -> Mapping[str, Statement]:
    """Return the statements of `sql/statements/<file>.sql`, by name.

    `{schema}` becomes *schema*, and each other `{name}` the identifier of that name; all are
    quoted, whatever they hold.
    """
    quoted = {
        name: composing.Identifier(value).as_string()
        for name, value in {"schema": schema, **identifiers}.items()
        if value
    }
    statements = (Statement(name, _fill(text, quoted)) for name, text in source(file).items())
    return _Statements(file, statements)


def _fill(text: str, quoted: Mapping[str, str]) -> bytes:
    for name, identifier in quoted.items():
        text = text.replace(f"{{{name}}}", identifier)
    return text.encode()


@cache
def source(file: str) -> Mapping[str, str]:
    """Return the blocks of `sql/statements/<file>.sql` as they are written, by name."""
    text = (SQL_FOLDER / "statements" / f"{file}.sql").read_text()
    _, *pieces = _HEAD.split(text)
    return {name: block.strip() for name, block in zip(pieces[::2], pieces[1::2], strict=True)}
