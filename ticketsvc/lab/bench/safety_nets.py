"""The price of each constraint that could keep ranges apart, measured side by side."""

import time
from collections.abc import Sequence
from statistics import median

import pandas as pd
import psycopg
from psycopg import sql

from ticketsvc.database.statements import load
from ticketsvc.lab.bench.write_volume import wal_position
from ticketsvc.lab.experiments.lab import Lab

NETS = ("none", "primary_key", "exclusion", "chain", "sequence_trigger")
"""The last is the schema `fixed` as it stands; the others are made for the measurement."""

_TOTAL = 100_000_000
_ROUNDS = 5
_EVENT = "SAFETY-NETS"


def measure(lab: Lab, *, batches: Sequence[int], statements: int) -> pd.DataFrame:
    """Measure WAL bytes and time per purchase of 8 under each net.

    *batches*: how many ranges one statement sells; *statements*: how many are run per net and
    round. All nets take turns, five rounds of which the median counts, on one connection
    without waiting for the flush (the flush costs the same under each).

    One row per net and batch: wal_bytes and microseconds, per purchase. A net that the server
    cannot have (no btree_gist) is left out.
    """
    schemas = {net: f"ticketsvc_net_{net}" for net in NETS[:-1]}
    with psycopg.connect(lab.url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        try:
            made = {net: name for net, name in schemas.items() if _make(connection, net, name)}
            lab.reset("fixed", _EVENT, _TOTAL)
            made["sequence_trigger"] = "fixed"
            samples = [
                {"net": net, "batch": batch, **_sell(connection, schema, batch, statements)}
                for _ in range(_ROUNDS)
                for batch in batches
                for net, schema in made.items()
            ]
        finally:
            for name in schemas.values():
                connection.execute(
                    sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name))
                )
    table = pd.DataFrame(samples)
    return table.groupby(["batch", "net"], sort=False).agg(median).reset_index()


def _make(connection: psycopg.Connection, net: str, schema: str) -> bool:
    statements = load("safety_nets", schema)
    try:
        with connection.transaction():
            if net == "exclusion":
                connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            connection.execute(statements["pool"].query)
            connection.execute(statements[net].query)
            connection.execute(
                sql.SQL("INSERT INTO {} VALUES ({}, {}, {}, 1)").format(
                    sql.Identifier(schema, "ticket_pools"), _EVENT, _TOTAL, _TOTAL
                )
            )
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        return False
    return True


def _sell(
    connection: psycopg.Connection, schema: str, batch: int, statements: int
) -> dict[str, float]:
    query = load("safety_nets", schema)["sell"].query
    parameters = {"event": _EVENT, "ranges": batch}
    before, began = wal_position(connection), time.perf_counter()
    for _ in range(statements):
        connection.execute(query, parameters)
    spent = time.perf_counter() - began
    purchases = statements * batch
    return {
        "wal_bytes": (wal_position(connection) - before) / purchases,
        "microseconds": spent / purchases * 1e6,
    }
