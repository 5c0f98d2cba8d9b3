"""Load SQL from files of named statements.

A file in `sql/statements/` holds blocks, each headed `-- name: NAME`, with `%(name)s`
parameters and `{schema}` where the schema's name goes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg import sql as composing

from ticketsvc.settings import ROOT

SQL_FOLDER = ROOT / "sql"
_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One named statement, ready for one schema."""

    name: str
    query: bytes

    async def execute(
        self, connection: AsyncConnection[Any], **parameters: object
    ) -> AsyncCursor[Any]:
        """Run it on *connection* and return the cursor."""
        return await connection.execute(self.query, parameters)


@cache
def load(file: str, schema: str) -> Mapping[str, Statement]:
    """Return the statements of `sql/statements/<file>.sql`, by name, for *schema*.

    The schema's name is quoted as an identifier, whatever it holds.
    """
    blocks = source(file)
    quoted = composing.Identifier(schema).as_string()
    return {
        name: Statement(name, text.replace("{schema}", quoted).encode())
        for name, text in blocks.items()
    }


@cache
def source(file: str) -> Mapping[str, str]:
    """Return the blocks of `sql/statements/<file>.sql` as they are written, by name."""
    text = (SQL_FOLDER / "statements" / f"{file}.sql").read_text()
    _, *pieces = _HEAD.split(text)
    return {name: block.strip() for name, block in zip(pieces[::2], pieces[1::2], strict=True)}
