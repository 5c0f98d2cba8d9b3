"""Fill in what a scenario leaves open: where the database and the service are, and who acts."""

import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_OPEN = re.compile(r"\{(python|database_url|port|host|database|user|password|n)\}")
_ALWAYS = {"python": sys.executable}


def database_words(url: str) -> dict[str, str]:
    """Return what `{database_url}`, `{host}`, `{database}`, `{user}` and `{password}` stand for."""
    parts = conninfo_to_dict(url)
    return {
        "database_url": url,
        "host": str(parts.get("host") or "127.0.0.1"),
        "database": str(parts.get("dbname") or ""),
        "user": str(parts.get("user") or ""),
        "password": str(parts.get("password") or ""),
    }


def through(url: str, port: int) -> str:
    """Return *url* with its server replaced by a proxy on *port* of this machine."""
    parts = conninfo_to_dict(url)
    user, password, name = (str(parts.get(key) or "") for key in ("user", "password", "dbname"))
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"postgresql://{login}@127.0.0.1:{port}/{quote(name, safe='')}"


def fill_in(value: Any, words: Mapping[str, str]) -> Any:
    """Return *value* with each `{word}` that *words* has replaced, in all its text.

    `{python}` is always there: the interpreter that runs this.
    """
    if isinstance(value, str):
        known = {**_ALWAYS, **words}
        return _OPEN.sub(lambda found: known.get(found[1], found[0]), value)
    if isinstance(value, Mapping):
        return {name: fill_in(part, words) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(fill_in(part, words) for part in value)
    return value


def libpq_environment(url: str) -> dict[str, str]:
    """Return the variables by which libpq and most drivers find the database at *url*."""
    parts = conninfo_to_dict(make_conninfo(url))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    names["dbname"] = "PGDATABASE"
    found = {names[key]: str(value) for key, value in parts.items() if key in names and value}
    return {**found, "PGSSLMODE": "disable", "DATABASE_URL": url}
