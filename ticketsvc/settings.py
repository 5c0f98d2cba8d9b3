"""The environment, read once into `Settings`."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ticketsvc.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent

Pooler = Literal["none", "transaction"]


class Settings(BaseSettings):
    """The settings that the environment gives. Command-line options override them."""

    model_config = SettingsConfigDict(
        env_prefix="TICKETSVC_", env_ignore_empty=True, allow_inf_nan=False
    )

    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("database_url", "DATABASE_URL")
    )
    """Where the database is; None: the embedded server."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """The address `serve` listens on."""

    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=3000, validation_alias=AliasChoices("port", "PORT", "TICKETSVC_PORT")
    )
    """The port `serve` listens on; 0 takes any free one."""

    pooler: Pooler = "none"
    """What is between the service and the database; transaction: PgBouncer in this mode."""

    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections per server process; the original had 10."""

    pool_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long a purchase waits for a connection before it is answered 503."""

    max_waiting: Annotated[int, Field(ge=1)] = 2000
    """How many purchases may be in flight; more are answered 503 at once."""

    shutdown_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a stopping server waits for what it accepted."""

    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long a client may take to send the headers; then the body; and to read an answer."""

    keepalive_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 75.0
    """How long a connection stays open between two requests."""

    max_connections: Annotated[int, Field(ge=1)] = 4000
    """Open connections per server process; beyond that 503 at once."""

    home: Path | None = None
    """Where the embedded server keeps its data between commands; None: the temporary folder."""

    postgres_bin: Path | None = None
    """Folder of the server's programs (initdb, postgres); None: the embedded ones."""


def load_settings() -> Settings:
    """Read the environment; raise `UsageError` that names the variable and its fault."""
    try:
        return Settings()
    except ValidationError as problem:
        fault = problem.errors(include_url=False, include_input=False)[0]
        name = str(fault["loc"][0]).upper().removeprefix("TICKETSVC_")
        set_plainly = name in {variable.upper() for variable in os.environ}
        if name != "DATABASE_URL" and not (name == "PORT" and set_plainly):
            name = f"TICKETSVC_{name}"
        reason = fault["msg"].replace("Input should", "must").partition(",")[0]
        raise UsageError(f"environment variable {name}: {reason}") from None
