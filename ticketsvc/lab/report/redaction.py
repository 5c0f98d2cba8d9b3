"""Keep passwords out of what is written for others to read."""

import html
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from nbformat import NotebookNode
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from ticketsvc.settings import ROOT

_URL_PASSWORD = re.compile(r"(postgres(?:ql)?(?:\+\w+)?://[^\s:/@'\"]+:)[^\s@'\"]+(?=@)")


def redact(value: Any, passwords: Sequence[str] = ()) -> Any:
    """Copy *value* without passwords, in all its text but the bytes of pictures.

    Passwords in PostgreSQL addresses go always, and *passwords* wherever they stand. The
    checkout's path goes too: it is of no use to a reader of the report.
    """
    if isinstance(value, str):
        for password in passwords:
            value = value.replace(password, "***")
        value = _URL_PASSWORD.sub(r"\1***", value)
        return value.replace(f"{ROOT}{os.sep}", "") if len(ROOT.parts) > 2 else value
    if isinstance(value, Mapping):
        parts = {
            name: part if _is_picture(name, part) else redact(part, passwords)
            for name, part in value.items()
        }
        return NotebookNode(parts) if isinstance(value, NotebookNode) else parts
    if isinstance(value, list | tuple):
        return [redact(part, passwords) for part in value]
    return value


def current_passwords() -> list[str]:
    """Name the database's password as it may be written, from the environment.

    One that equals the user or the database is no secret; taking it out everywhere would
    only break words (`postgres`). In addresses it goes nevertheless.
    """
    try:
        parts = conninfo_to_dict(os.environ.get("DATABASE_URL", ""))
    except ProgrammingError:
        parts = {}
    public = {"postgres", parts.get("user"), parts.get("dbname"), None, ""}
    found = {parts.get("password"), os.environ.get("PGPASSWORD")} - public
    written = {
        form for word in map(str, found) for form in (word, quote(word, safe=""), html.escape(word))
    }
    return sorted(written, key=len, reverse=True)


def _is_picture(name: Any, part: Any) -> bool:
    """Tell a picture's base64 text, where a replacement would break it."""
    is_type = isinstance(name, str) and name.startswith("image/") and name != "image/svg+xml"
    return is_type and isinstance(part, str)
