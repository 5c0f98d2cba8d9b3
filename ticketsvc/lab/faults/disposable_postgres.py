"""A temporary PostgreSQL server that may be broken."""

import contextlib
from collections.abc import Iterator, Mapping

import psycopg

from ticketsvc.database.embedded import EmbeddedServer, start_temporary
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.database.seeding import MAX_TOTAL, reset_event
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.ledger.records import EventLedger
from ticketsvc.settings import DatabaseSettings


@contextlib.contextmanager
def disposable_postgres(settings: Mapping[str, str]) -> Iterator[EmbeddedServer]:
    """Run a server with both schemas, and with *settings* of PostgreSQL; remove it at the end."""
    folder = DatabaseSettings.load().postgres_bin
    with start_temporary(binaries_folder=folder, settings=settings) as server:
        with psycopg.connect(server.url, autocommit=True) as owner:
            ensure_schemas(owner)
        yield server


def make_event(url: str, event: str) -> None:
    """Make *event* in the schema `fixed`, with more tickets than anybody can buy."""
    with psycopg.connect(url, autocommit=True) as owner:
        reset_event(owner, "fixed", event, MAX_TOTAL)


def ledger_on(url: str, event: str) -> EventLedger:
    """Read what the database at *url* holds of *event*."""
    with psycopg.connect(url, autocommit=True) as owner:
        (ledger,) = read_ledger(owner, "fixed", event)
    return ledger
