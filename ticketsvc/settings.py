"""The environment, read once into settings: those of the database, and those of the service."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ticketsvc.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent

Pooler = Literal["none", "transaction"]

# The others are named TICKETSVC_ and the setting. The first one that is set counts.
_VARIABLES = {"database_url": ("DATABASE_URL",), "port": ("PORT", "TICKETSVC_PORT")}


class _Environment(BaseModel):
    """Settings that the environment gives. Command-line options override them."""

    model_config = ConfigDict(allow_inf_nan=False)

    @classmethod
    def load(cls, **given: object) -> Self:
        """Read the variables of these settings and no others; a blank variable counts as unset.

        What is *given*, by a command-line option, and not None, is taken in place of its variable.
        Raise `UsageError` that names the variable and its fault.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        found = {
            name: variable
            for name in cls.model_fields.keys() - chosen.keys()
            for variable in reversed(_VARIABLES.get(name, (f"TICKETSVC_{name.upper()}",)))
            if os.environ.get(variable, "").strip()
        }
        read = {name: os.environ[variable] for name, variable in found.items()}
        try:
            return cls.model_validate({**read, **chosen})
        except ValidationError as problem:
            fault = problem.errors(include_url=False, include_input=False)[0]
            reason = fault["msg"].replace("Input should", "must").partition(",")[0]
            variable = found[str(fault["loc"][0])]
            raise UsageError(f"environment variable {variable}: {reason}") from None


class DatabaseSettings(_Environment):
    """Where the database is: what every command needs."""

    database_url: SecretStr | None = None
    """Where the database is; None: the embedded server."""

    home: Path | None = None
    """Where the embedded server keeps its data between commands; None: the temporary folder."""

    postgres_bin: Path | None = None
    """Folder of the server's programs (initdb, postgres); None: the embedded ones."""


class ListenSettings(_Environment):
    """Where the service is."""

    host: str = "127.0.0.1"
    """The address `serve` listens on."""

    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    """The port `serve` listens on; 0 takes any free one."""


class Settings(DatabaseSettings, ListenSettings):
    """All that a service needs."""

    pooler: Pooler = "none"
    """What is between the service and the database; transaction: PgBouncer in this mode."""

    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections per server process; the original had 10."""

    pool_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long a purchase waits for a connection before it is answered 503."""

    max_waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    """How many purchases may be in flight; more are answered 503 at once."""

    shutdown_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a stopping server waits for what it accepted."""

    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long a client may take to send the headers; then the body; and to read an answer."""

    keepalive_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 75.0
    """How long a connection stays open between two requests."""

    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4000
    """Open connections per server process; beyond that 503 at once."""
