"""Read a scenario: one TOML file that describes a system under test.

Whatever is wrong with it is one line that names the file, the key and the reason.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ticketsvc.errors import UsageError

ISOLATION_LEVELS = ("read committed", "repeatable read", "serializable")
MAX_CLIENTS = 8

Text = Annotated[str, Field(min_length=1)]
Isolation = Literal["read committed", "repeatable read", "serializable"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Database(_Part):
    """What the scratch database holds before the clients start."""

    schema_: tuple[Text, ...] = Field(alias="schema", min_length=1)
    """Files, or SQL; run once, in order."""
    reset: Text | None = None
    """SQL before every run; None: the data as after `schema`, restored."""
    isolation: Isolation = "read committed"


class Service(_Part):
    """A process that the clients' requests go to."""

    command: tuple[Text, ...] = Field(min_length=1)
    url: Text
    environment: dict[str, str] = {}
    ready: Text | None = None
    """The path that answers 2xx when it is ready; None: when the port accepts."""


class Request(_Part):
    """An HTTP request to the service."""

    path: Text
    method: Method = "POST"
    json_: Any = Field(default=None, alias="json")
    headers: dict[str, str] = {}


class Client(_Part):
    """Who acts at the same time as the others: *count* of them, numbered from 1."""

    name: Text
    count: Annotated[int, Field(ge=0, le=MAX_CLIENTS)] = 1
    request: Request | None = None
    sql: Text | None = None
    python: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    command: tuple[Text, ...] | None = Field(default=None, min_length=1)
    numbers: Text | None = None
    """Where a request's JSON answer has the numbers sold, as a dotted path."""
    success: tuple[int, ...] | None = None
    """The statuses of a request that succeeded; None: any 2xx."""

    @model_validator(mode="after")
    def _one_way_to_act(self) -> "Client":
        ways = [name for name in ("request", "sql", "python", "command") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError(
                "must have exactly one of request, sql, python, command; "
                + (f"it has {' and '.join(ways)}" if ways else "it has none")
            )
        if self.request is None and (self.numbers or self.success):
            raise ValueError("numbers and success belong to a request")
        return self


class Invariant(_Part):
    """What must be true when all clients have ended: every row of *sql* is a violation."""

    name: Text
    sql: Text


class Fix(_Part):
    """A change of the schema that is to be tried."""

    name: Text
    sql: Text


class Scenario(_Part):
    """A system under test."""

    database: Database
    service: Service | None = None
    client: tuple[Client, ...] = Field(min_length=1)
    invariant: tuple[Invariant, ...] = Field(min_length=1)
    fix: tuple[Fix, ...] = ()
    folder: Path
    """Where the file is: paths and commands are relative to it."""
    file: Path

    @model_validator(mode="after")
    def _fits_together(self) -> "Scenario":
        for kind in ("client", "invariant", "fix"):
            names = [part.name for part in getattr(self, kind)]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two [[{kind}]] are called {name!r}")
        if any(client.request for client in self.client) and self.service is None:
            raise ValueError("a client's request needs a [service] that it goes to")
        if not 1 <= sum(client.count for client in self.client) <= MAX_CLIENTS:
            raise ValueError(f"there must be 1 to {MAX_CLIENTS} clients in all")
        for text in self.database.schema_:
            if _looks_like_a_file(text) and not (self.folder / text).is_file():
                raise ValueError(f"database.schema: there is no file {text}")
        for client in self.client:
            script = client.sql or ""
            if _looks_like_a_file(script) and not (self.folder / script).is_file():
                raise ValueError(f"client {client.name}: there is no file {client.sql}")
        return self

    def sql_of(self, text: str) -> str:
        """Return *text* if it is SQL, else what the file of that name holds."""
        if not _looks_like_a_file(text):
            return text
        try:
            return (self.folder / text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise UsageError(f"{self.file}: {text}: {problem}") from None

    def with_counts(self, counts: dict[str, int], isolation: str | None) -> "Scenario":
        """Return the scenario with other numbers of clients, by name, and another isolation.

        Raise `UsageError` for a client that is not there and for too many.
        """
        names = [client.name for client in self.client]
        for name in counts:
            if name not in names:
                raise UsageError(f"--count {name}: no such client; there are {', '.join(names)}")
        clients = tuple(
            client.model_copy(update={"count": counts.get(client.name, client.count)})
            for client in self.client
        )
        if not 1 <= sum(client.count for client in clients) <= MAX_CLIENTS:
            raise UsageError(f"--count: there must be 1 to {MAX_CLIENTS} clients in all")
        database = self.database
        if isolation is not None:
            if isolation not in ISOLATION_LEVELS:
                raise UsageError(
                    f"--isolation {isolation!r}: must be one of {', '.join(ISOLATION_LEVELS)}"
                )
            database = database.model_copy(update={"isolation": isolation})
        return self.model_copy(update={"client": clients, "database": database})


def _looks_like_a_file(text: str) -> bool:
    return "\n" not in text and ";" not in text and text.strip().endswith(".sql")


def read_scenario(file: Path) -> Scenario:
    """Read *file*; raise `UsageError` in one line that names the file, the key and the reason."""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"{file}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UsageError(f"{file}: not TOML: {problem}") from None
    if told.keys() & {"folder", "file"}:
        raise UsageError(f"{file}: {min(told.keys() & {'folder', 'file'})}: unknown key")
    try:
        return Scenario.model_validate(
            _as_tuples({**told, "folder": file.resolve().parent, "file": file})
        )
    except ValidationError as problem:
        raise UsageError(f"{file}: {_explain(problem)}") from None


def _as_tuples(value: Any) -> Any:
    """Return TOML's lists as tuples, which frozen parts hold; a request's JSON stays as it is."""
    if isinstance(value, dict):
        return {name: part if name == "json" else _as_tuples(part) for name, part in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "int_type": "must be an integer",
    "model_type": "must be a table",
    "dict_type": "must be a table",
}


def _explain(problem: ValidationError) -> str:
    fault = problem.errors(include_url=False)[0]
    place = ".".join(
        str(part + 1) if isinstance(part, int) else str(part).rstrip("_") for part in fault["loc"]
    )
    reason = _REASONS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason
