"""Fill in what a scenario leaves open: where the database and the service are, and who acts."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from ticketsvc.database.locate import libpq_environment
from ticketsvc.errors import UsageError

WORDS = ("database_url", "host", "port", "database", "user", "password", "python")
_OPEN = re.compile(r"(?<!\$)\{(\w+)\}")  # ${word} is a shell's
_LOGIN = re.compile(r"(://[^\s:/@]*:)[^\s@]+(?=@)")


def database_words(url: str) -> dict[str, str]:
    """Return what each of `WORDS` stands for, but the port.

    `{python}` is the interpreter that runs this.
    """
    parts = conninfo_to_dict(url)
    return {
        "python": sys.executable,
        "database_url": url,
        "host": str(parts.get("host") or "127.0.0.1"),
        "database": str(parts.get("dbname") or ""),
        "user": str(parts.get("user") or ""),
        "password": str(parts.get("password") or ""),
    }


def server_of(url: str) -> tuple[str, int]:
    """Return host and port of the server at *url*, as a proxy needs them.

    Raise `UsageError` for a Unix socket and for several hosts.
    """
    parts = conninfo_to_dict(url)
    host = str(parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST", ""))
    port = str(parts.get("port") or os.environ.get("PGPORT") or 5432)
    if "," in host or "," in port:
        raise UsageError(f"the database's address has several hosts ({host}): name one")
    if host.startswith(("/", "@")) or (not host and os.name != "nt"):
        raise UsageError(
            f"the database's address is a Unix socket{f' ({host})' if host else ''}: clients are "
            "led through a proxy, which needs a TCP address such as 127.0.0.1"
        )
    return host or "127.0.0.1", int(port)


def masked(text: str, password: str) -> str:
    """Return *text* with *password*, and with that of any address in it, replaced by `***`."""
    text = _LOGIN.sub(r"\1***", text)
    if not password:
        return text
    either = "|".join(map(re.escape, {password, quote(password, safe="")}))
    return re.sub(rf"(?<!\w)({either})(?!\w)", "***", text)


def through(url: str, port: int) -> str:
    """Return *url* with its server replaced by a proxy on *port* of this machine."""
    parts = conninfo_to_dict(url)
    user, password, name = (str(parts.get(key) or "") for key in ("user", "password", "dbname"))
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"postgresql://{login}@127.0.0.1:{port}/{quote(name, safe='')}"


def fill_in(value: Any, words: Mapping[str, str]) -> Any:
    """Return *value* with each `{word}` that *words* has replaced, in all its text."""
    if isinstance(value, str):
        return _OPEN.sub(lambda found: words.get(found[1], found[0]), value)
    if isinstance(value, Mapping):
        return {name: fill_in(part, words) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(fill_in(part, words) for part in value)
    return value


def unknown_words(value: Any, known: tuple[str, ...], key: str) -> Iterator[tuple[str, str]]:
    """Yield key and word of each `{word}` in *value*, which stands at *key*, that is not known."""
    if isinstance(value, str):
        yield from ((key, word) for word in _OPEN.findall(value) if word not in known)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from unknown_words(part, known, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for part in value:
            yield from unknown_words(part, known, key)


def client_environment(url: str) -> dict[str, str]:
    """Return the variables by which libpq and most drivers find the database behind the proxy."""
    return {**libpq_environment(url), "PGSSLMODE": "disable", "DATABASE_URL": url}
