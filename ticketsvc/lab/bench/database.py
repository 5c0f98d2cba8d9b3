"""Make fresh events in one schema of one database, and audit them."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.seeding import MAX_TOTAL
from ticketsvc.database.statements import load
from ticketsvc.errors import UsageError
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.ledger.reader import read_ledger

_MOST_RANGES = 1_000_000
_QUIET_POLLS = 3
_POLL_S = 0.01
_QUIET_TIMEOUT_S = 60.0
_MAX_SHOWN = 3


class BenchDatabase:
    """Events of one schema, made for a measurement and judged after it.

    Each measurement gets new events, so that nothing is removed in between. It works on any
    schema that has the original's tables.
    """

    def __init__(self, conninfo: str, schema: str) -> None:
        self.conninfo = conninfo
        self.connection: Connection = psycopg.connect(
            conninfo, autocommit=True, application_name="ticketsvc-bench"
        )
        self._schema = schema
        self._statements = load("bench", schema)
        found = self.connection.execute(load("ledger")["columns"].query, {"schema": schema})
        columns = {(table, column) for table, column, _ in found}
        self._counts_forward = ("ticket_pools", "next_ticket_number") in columns
        self._has_ranges = ("ticket_allocations", "start_ticket") in columns
        if not {("ticket_pools", "event_id"), ("issued_tickets", "ticket_number")} <= columns:
            raise UsageError(
                f"schema {schema} has no ticket_pools and issued_tickets: nothing can be sold there"
            )
        self._token = secrets.token_hex(4)
        self._events: list[str] = []

    def make_events(self, events: int, *, sold: int = 0) -> tuple[str, ...]:
        """Make *events* events with pools that no run can empty, and return their ids.

        *sold* tickets of each are sold already, in ranges of equal size, at most a million.
        """
        # Each id sorts after all earlier ones, so that inserts split no index pages in the middle.
        made = len(self._events)
        names = [f"bench-{self._token}-{made + number:08}" for number in range(1, events + 1)]
        with self.connection.transaction():
            pool = "insert_pool_fixed" if self._counts_forward else "insert_pool_original"
            self._execute_each(pool, names, total=MAX_TOTAL, sold=sold)
            if sold:
                per_range = 8 * -(-sold * events // (8 * _MOST_RANGES))
                self._execute("make_sold", events=names, sold=sold, per_range=per_range)
        if sold:
            self._execute("analyze_ranges")
        self._events += names
        return tuple(names)

    def sold(self, events: Sequence[str]) -> int:
        """Return how many tickets the pools say are sold."""
        return int(self.rows("sold", events=list(events))[0][0])

    def await_quiet(self) -> None:
        """Wait until the server has finished what was in flight when the load ended."""
        deadline = time.monotonic() + _QUIET_TIMEOUT_S
        quiet, before = 0, None
        while quiet < _QUIET_POLLS and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            now = self.position()
            idle = now == before and not self.rows("busy")[0][0]
            quiet, before = (quiet + 1 if idle else 0), now

    def position(self) -> tuple[int, int]:
        """Return how many bytes of WAL and how many transaction numbers the server has used."""
        wal_bytes, transactions = self.rows("position")[0]
        return int(wal_bytes), int(transactions)

    def judge(self, events: Sequence[str]) -> list[EventVerdict]:
        """Return the checker's verdict on each of *events*."""
        return check(read_ledger(self.connection, self._schema, *events, joined=True))

    def purchases_per_commit(self, events: Sequence[str]) -> list[tuple[int, int]]:
        """Return pairs: purchases per commit, and the number of commits of that size.

        Only purchases that are stored as ranges are counted.
        """
        return self.rows("ranges_per_commit", events=list(events))

    def close(self) -> None:
        """Close the connection; the events stay."""
        self.connection.close()

    def remove(self) -> None:
        """Delete every event that was made here."""
        with self.connection.transaction():
            for name in ("remove_pool", "remove_rows", *["remove_ranges"] * self._has_ranges):
                self._execute_each(name, self._events)
        self._events = []

    def rows(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a named statement of `bench.sql`."""
        return self.connection.execute(self._statements[name].query, parameters).fetchall()

    def _execute_each(self, name: str, events: Sequence[str], **parameters: object) -> None:
        query = load("seeding", self._schema)[name].query
        each = [{"event": event, **parameters} for event in events]
        self.connection.cursor().executemany(query, each)

    def _execute(self, name: str, **parameters: object) -> None:
        self.connection.execute(self._statements[name].query, parameters)


def first_violations(verdicts: Sequence[EventVerdict]) -> list[str]:
    """Return the first few violations, and what the checker could not tell, each in one line."""
    found = [
        f"{violation.kind}: {violation.message}"
        for verdict in verdicts
        for violation in verdict.violations
    ]
    found += [f"could not tell: {why}" for verdict in verdicts for why in verdict.inconclusive]
    more = len(found) - _MAX_SHOWN
    return found[:_MAX_SHOWN] + ([f"and {more} more violations"] if more > 0 else [])


def with_durability(conninfo: str, durable: bool) -> str:
    """Return *conninfo* with sessions whose commits wait for their flush, or do not."""
    before = conninfo_to_dict(conninfo).get("options") or ""
    setting = "on" if durable else "off"
    return make_conninfo(conninfo, options=f"{before} -c synchronous_commit={setting}".strip())
