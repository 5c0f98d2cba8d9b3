"""Read a scenario: one TOML file that describes a system under test.

Whatever is wrong with it is one line that names the file, the key and the reason.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ticketsvc.errors import UsageError
from ticketsvc.lab.scenarios.filling import WORDS, unknown_words
from ticketsvc.lab.scenarios.values import (
    Address,
    Json,
    RequestPath,
    Text,
    VariableName,
    VariableValue,
    Word,
)

MAX_CLIENTS = 8

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

    command: tuple[Word, ...] = Field(min_length=1)
    url: Address
    environment: dict[VariableName, VariableValue] = {}
    ready: Text | None = None
    """The path that answers 2xx when it is ready; None: when the port accepts."""


class Request(_Part):
    """An HTTP request to the service."""

    path: RequestPath
    method: Method = "POST"
    json_: Json = Field(default=None, alias="json")
    headers: dict[str, str] = {}


class Client(_Part):
    """Who acts at the same time as the others: *count* of them, numbered from 1."""

    name: Text
    count: Annotated[int, Field(ge=0, le=MAX_CLIENTS)] = 1
    request: Request | None = None
    sql: Text | None = None
    python: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    command: tuple[Word, ...] | None = Field(default=None, min_length=1)
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


class NamedSql(_Part):
    """SQL, or the file that holds it, and what it is called."""

    name: Text
    sql: Text


class Scenario(_Part):
    """A system under test."""

    database: Database
    service: Service | None = None
    client: tuple[Client, ...] = Field(min_length=1)
    invariant: tuple[NamedSql, ...] = Field(min_length=1)
    """What must be true when all clients have ended: every row that is returned is a violation."""
    fix: tuple[NamedSql, ...] = ()
    """Changes of the schema that are to be tried."""
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
        texts = [("database.schema", text) for text in self.database.schema_]
        texts.append(("database.reset", self.database.reset or ""))
        texts += [(f"client {client.name}", client.sql or "") for client in self.client]
        texts += [(f"invariant {one.name!r}", one.sql) for one in self.invariant]
        texts += [(f"fix {one.name!r}", one.sql) for one in self.fix]
        for key, text in texts:
            if _looks_like_a_file(text) and not (self.folder / text).is_file():
                raise ValueError(f"{key}: there is no file {text}")
        self._fills_in()
        return self

    def _fills_in(self) -> None:
        """Raise `ValueError` for a `{word}` that nothing stands for."""
        filled: list[tuple[str, Any, tuple[str, ...]]] = []
        if self.service:
            told = self.service.model_dump(include={"command", "environment", "url"})
            filled.append(("service", told, WORDS))
        for number, client in enumerate(self.client, start=1):
            told = client.model_dump(include={"request", "command"}, by_alias=True)
            filled.append((f"client.{number}", told, (*WORDS, "n")))
        for key, value, known in filled:
            for where, word in unknown_words(value, known, key):
                words = ", ".join(f"{{{name}}}" for name in known)
                raise ValueError(
                    f"{where}: unknown word {{{word}}}{_did_you_mean(word, known)}; known are "
                    f"{words}"
                )

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
            if isolation not in get_args(Isolation):
                raise UsageError(
                    f"--isolation {isolation!r}: must be one of {', '.join(get_args(Isolation))}"
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


_TABLES: dict[str, type[_Part]] = {
    "": Scenario,
    "database": Database,
    "service": Service,
    "client": Client,
    "client.request": Request,
    "invariant": NamedSql,
    "fix": NamedSql,
}


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _near_key(fault: Mapping[str, Any]) -> str:
    """Return what an unknown key may have been meant to be, as words; "" for any other fault."""
    *table, key = (str(part) for part in fault["loc"] if not isinstance(part, int))
    model = _TABLES.get(".".join(table))
    if fault["type"] != "extra_forbidden" or model is None:
        return ""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return _did_you_mean(key, sorted(names - {"folder", "file"}))


def _explain(problem: ValidationError) -> str:
    faults = problem.errors(include_url=False)
    # A key that is misspelt says more than that the right one is missing.
    fault = next((one for one in faults if one["loc"] and _near_key(one)), faults[0])
    place = ".".join(
        str(part + 1) if isinstance(part, int) else str(part).rstrip("_") for part in fault["loc"]
    )
    reason = _REASONS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    reason += _near_key(fault) if fault["loc"] else ""
    return f"{place}: {reason}" if place else reason
