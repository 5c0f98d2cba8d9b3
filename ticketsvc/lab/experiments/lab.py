"""The database that experiments run on: connect, reset, audit, state the facts."""

import atexit
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from functools import cached_property
from typing import LiteralString

import pandas as pd
import psycopg

from ticketsvc.database.embedded import start_temporary
from ticketsvc.database.locate import check_server
from ticketsvc.database.schemas import SCHEMAS, SchemaName, ensure_schemas
from ticketsvc.database.seeding import SIX_EVENTS, reset_event, seed_six_events
from ticketsvc.database.statements import load
from ticketsvc.errors import NoDatabase
from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.settings import DatabaseSettings

_OF_SEED = ["schema", "event", "name", "total", "available", "issued", "unique", "clean"]


@dataclass(frozen=True)
class Lab:
    """A database with both schemas, ready to be experimented on."""

    url: str
    """Where it is, password included: never shown."""

    def __repr__(self) -> str:
        return f"Lab on PostgreSQL {self.server_version}"

    @cached_property
    def connection(self) -> "psycopg.Connection":
        """The notebook's own connection, in autocommit mode."""
        return psycopg.connect(self.url, autocommit=True, application_name="ticketsvc-lab")

    @property
    def server_version(self) -> str:
        """PostgreSQL's version, as 18.6."""
        return self.connection.info.parameter_status("server_version") or "unknown"

    def reset(self, schema: SchemaName, event: str, total: int, *, sold: int = 0) -> None:
        """Replace *event* by one of *total* tickets, of which the first *sold* are issued."""
        reset_event(self.connection, schema, event, total, sold)

    def seed(self) -> pd.DataFrame:
        """Reset the six events of the original in both schemas, and audit them.

        One row per schema and event: name, total, available, issued, unique, clean.
        """
        names = {seed.event: seed.name for seed in SIX_EVENTS}
        for schema in SCHEMAS:
            seed_six_events(self.connection, schema)
        rows = [
            {"schema": schema, "name": name, "clean": verdict.clean, **verdict.as_dict()}
            for schema in SCHEMAS
            for event, name in names.items()
            for verdict in [self.audit(schema, event)]
        ]
        return pd.DataFrame(rows)[_OF_SEED]

    def ledger(self, schema: SchemaName, event: str) -> EventLedger:
        """Return what *schema* holds of *event*; without rows, an empty ledger."""
        found = read_ledger(self.connection, schema, event)
        return found[0] if found else EventLedger(event, None, None)

    def audit(
        self, schema: SchemaName, event: str, history: "list[Attempt] | None" = None
    ) -> EventVerdict:
        """Return the verdict on *event* in *schema*, by its ledger and the answers in *history*."""
        return check_event(self.ledger(schema, event), history or [])

    def query(self, query: LiteralString, *parameters: object) -> pd.DataFrame:
        """Return the result of a read as a table."""
        cursor = self.connection.execute(query, parameters)
        columns = [column.name for column in cursor.description or ()]
        return pd.DataFrame(cursor.fetchall(), columns=columns)

    def same_tickets(self) -> bool:
        """Return whether both schemas hold the same tickets of the six events, row for row."""
        query = load("lab")["different_tickets"].query
        events = [seed.event for seed in SIX_EVENTS]
        return self.connection.execute(query, {"events": events}).fetchone() is None

    def facts(self, **more: object) -> "Facts":
        """Return what the figures were measured on; *more* are the notebook's own facts."""
        return Facts(
            {
                "PostgreSQL": self.server_version,
                **dict(self.connection.execute(load("lab")["settings"].query).fetchall()),
                "Python": platform.python_version(),
                "psycopg": importlib.metadata.version("psycopg"),
                "processors": os.cpu_count(),
                **{name.replace("_", " "): value for name, value in more.items()},
            }
        )


class Facts(dict[str, object]):
    """What figures were measured on. JupyterLab shows it as a table that opens when clicked."""

    def _repr_html_(self) -> str:
        what = f"Measured on PostgreSQL {self['PostgreSQL']}, {self['processors']} processors"
        table = pd.DataFrame({"value": map(str, self.values())}, list(self))
        return f"<details class='facts'><summary>{what}</summary>{table.to_html()}</details>"


class DatabaseAway(NoDatabase):
    """The database of a notebook is away. IPython shows the message, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def open_lab() -> Lab:
    """Connect to `DATABASE_URL`, or to a server of our own that ends with this kernel.

    Raise `DatabaseAway`, which says what to do.
    """
    settings = DatabaseSettings.load()
    if settings.database_url is not None:
        try:
            lab = Lab(check_server(settings.database_url.get_secret_value()))
        except NoDatabase as problem:
            advice = "Start it (python3 run.py db start, if it is that of lab), and run this again."
            raise DatabaseAway(f"{problem}\n{advice}") from None
    else:
        server = start_temporary(binaries_folder=settings.postgres_bin)
        atexit.register(server.stop)
        lab = Lab(server.url)
    ensure_schemas(lab.connection)
    pd.set_option("display.max_colwidth", None)  # a message cut short explains nothing
    return lab
