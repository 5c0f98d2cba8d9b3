"""Compare what each constraint costs that could keep ranges apart."""

import time
from collections.abc import Sequence
from statistics import median

import pandas as pd
import psycopg

from ticketsvc.database.statements import load
from ticketsvc.lab.bench.write_volume import wal_position
from ticketsvc.lab.cell_progress import counted
from ticketsvc.lab.experiments.lab import Lab
from ticketsvc.lab.figures import WAL, record

NETS = ("none", "primary_key", "exclusion", "chain", "sequence_trigger")
"""The last is the schema `fixed`; the others are made for the measurement."""

_TOTAL = 100_000_000
_ROUNDS = 5
_EVENT = "SAFETY-NETS"


def compare_safety_nets(lab: Lab, *, batches: Sequence[int], statements: int) -> pd.DataFrame:
    """Return WAL bytes and time per purchase of 8 tickets, one row per net and batch size.

    *batches*: how many ranges one statement sells; *statements*: how many run per net and round.
    The nets take turns in five rounds, and the median counts. All run on one connection without
    waiting for the flush, which costs the same under each. A net that the server cannot have
    (no btree_gist) is left out.
    """
    schemas = {net: f"ticketsvc_net_{net}" for net in NETS[:-1]}
    with psycopg.connect(lab.url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        try:
            made = {net: name for net, name in schemas.items() if _make(connection, net, name)}
            lab.reset("fixed", _EVENT, _TOTAL)
            made["sequence_trigger"] = "fixed"
            samples = []
            with counted("rounds", _ROUNDS) as count:
                for _ in range(_ROUNDS):
                    samples += [
                        {"net": net, "batch": batch, **_sell(connection, schema, batch, statements)}
                        for batch in batches
                        for net, schema in made.items()
                    ]
                    count()
        finally:
            for name in schemas.values():
                connection.execute(load("schemas", name)["drop_schema"].query)
    table = pd.DataFrame(samples)
    for (batch, net), rounds in table.groupby(["batch", "net"]):
        under = f"a purchase under {net}, {batch} a statement"
        record(f"WAL of {under}", "bytes", median(rounds["wal_bytes"]), noise=WAL)
        record(f"time of {under}", "µs", *rounds["microseconds"])
    return table.groupby(["batch", "net"], sort=False).agg(median).reset_index()


def _make(connection: psycopg.Connection, net: str, schema: str) -> bool:
    statements = load("safety_nets", schema)
    try:
        with connection.transaction():
            if net == "exclusion":
                connection.execute(statements["create_btree_gist"].query)
            connection.execute(statements["create"].query)
            if net != "none":
                connection.execute(statements[net].query)
            connection.execute(statements["make_pool"].query, {"event": _EVENT, "total": _TOTAL})
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
