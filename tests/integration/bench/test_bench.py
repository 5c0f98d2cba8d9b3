"""`bench`: audited runs, no figure for a damaged one, and nothing left behind."""

import asyncio
import contextlib
import itertools
import random
from dataclasses import replace

import pytest

from tests.support.clusters import databases_named
from tests.support.commands import error_line, json_of
from tests.support.waiting import TIMEOUT_S
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.bench.database import BenchDatabase, first_violations
from ticketsvc.lab.bench.load_spec import LoadSpec
from ticketsvc.lab.bench.lock_hold import Trips
from ticketsvc.lab.bench.lock_hold_probes import count_trips
from ticketsvc.lab.bench.plan import BenchCase, Candidate
from ticketsvc.lab.bench.suite import open_bench
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger

QUICK = ("bench", "--json", "--seconds", "0.2", "--repetitions", "1", "--connections", "8")
LOOSE = """
CREATE SCHEMA loose;
CREATE TABLE loose.ticket_pools (event_id text, total integer, available integer);
CREATE TABLE loose.issued_tickets (event_id text, user_id text, ticket_number integer);
CREATE TABLE loose.ticket_allocations
    (event_id text, user_id text, start_ticket integer, end_ticket integer)
"""


UNGUARDED = """
ALTER TABLE fixed.issued_tickets DROP CONSTRAINT issued_tickets_pkey;
DROP TRIGGER issue_in_sequence ON fixed.issued_tickets
"""


def test_runs_are_audited_and_what_damages_gets_no_figure(database, connection, serve, cli_here):
    """With naive as a negative control: a peer that sells a number twice."""
    connection.execute(UNGUARDED)
    reset_event(connection, "fixed", "THEIRS", 800, 80)
    named = {"right": "ticket_rows", "wrong": "naive"}
    urls = {name: serve(database, how, schema="fixed").url for name, how in named.items()}
    peers = [part for name, url in urls.items() for part in ("--peer-url", f"{name}={url}")]
    known = ("--peer-database-url", database, "--peer-schema", "fixed")
    result = cli_here(*QUICK, "--allocator", "range", *peers, *known, DATABASE_URL=database)
    answer = json_of(result, 1)
    bare, noop, *_ = answer["rows"]
    rows = {row["name"]: row for row in answer["rows"]}
    assert [(one["kind"], one["audit"]) for one in (bare, noop)] == [
        ("bare_noop", "sells nothing"),
        ("noop", "sells nothing"),
    ]
    assert rows["wrong"]["goodput_per_s"] is rows["wrong"]["p50_ms"] is None
    assert rows["wrong"]["audit"] == "violated"
    assert any("duplicate" in violation for violation in rows["wrong"]["violations"])
    assert "no figure for wrong" in result.stderr
    sold = rows["range"]
    assert (sold["audit"], sold["violations"], sold["of_range"]) == ("clean", [], 1)
    assert sold["of_noop"] == sold["goodput_per_s"] / noop["goodput_per_s"]
    assert sold["of_bare"] == sold["goodput_per_s"] / bare["goodput_per_s"]
    assert None not in [sold[name] for name in ("p50_ms", "p99_ms", "server_cpu_us", "wal_bytes")]
    peer = rows["right"]
    assert (peer["kind"], peer["audit"]) == ("peer", "clean")
    assert peer["of_range"] > 0
    assert peer["server_cpu_us"] > 0  # found by its port
    [left] = read_ledger(connection, "fixed")
    assert (left.event, left.available) == ("THEIRS", 720)
    assert databases_named(connection, "ticketsvc_bench") == set()


WORKERS = Candidate("range", durable=False, workers=2)
KEYED = Candidate("group_commit", durable=False, keys=True)


@pytest.fixture(scope="module")
def bench(server):
    """Services of two kinds, and the load workers."""
    with server.clone() as url, open_bench(url, [WORKERS, KEYED], seconds=0.3) as opened:
        yield opened


@pytest.mark.parametrize(
    "case",
    [BenchCase(WORKERS, 32, events=20, quantity=16, sold=800), BenchCase(KEYED, 8)],
    ids=lambda case: case.candidate.label,
)
def test_clients_and_ledger_agree(bench, case):
    """Tickets sold beforehand are not counted; several workers are one candidate."""
    assert len(bench.servers[WORKERS].processes) >= 3  # one that watches over two
    [one] = bench.run([case], 1)
    assert one.violations == ()
    confirmed = one.result.sold + one.result.late
    assert confirmed <= one.issued_purchases <= confirmed + one.result.in_flight


def test_a_sale_that_no_client_made_is_a_violation(bench):
    """Negative control: the ledger is consistent, and holds more than the clients were told."""
    one = replace(bench, pool=PoolWithAStranger(bench.pool)).measure(BenchCase(WORKERS, 1))
    assert "the ledger holds" in one.violations[0]
    assert one.goodput_per_s is None


class PoolWithAStranger:
    """Run the load, and sell a thousand purchases past it."""

    def __init__(self, pool):
        self._pool = pool

    def run(self, spec):
        result = self._pool.run(spec)
        self._pool.run(replace(spec, seconds=TIMEOUT_S, connections=8, limit=1000))
        return result


def test_purchases_of_one_commit_are_counted_together(bench):
    server = bench.servers[KEYED]
    events = server.database.make_events(1)
    result = bench.pool.run(LoadSpec(server.url, events, 8, 16, TIMEOUT_S, limit=200))
    sizes = server.database.purchases_per_commit(events)
    assert sum(purchases * commits for purchases, commits in sizes) == result.sold == 200
    assert max(purchases for purchases, _ in sizes) <= 16


@pytest.mark.parametrize(
    "arguments",
    [
        ("--peer-url", "http://127.0.0.1:3000"),
        ("--peer-database-url", "postgresql://127.0.0.1/x"),
        ("--connections", "1000"),
        ("--seconds", "0"),
    ],
    ids=" ".join,
)
def test_wrong_options_are_refused_in_one_line(database, cli_here, arguments):
    result = cli_here("bench", *arguments, DATABASE_URL=database)
    error_line(result)
    assert not result.stdout


# The audit


def test_the_joined_ledger_is_judged_as_the_whole_one(connection, database):
    """Whatever lies in the tables, overlaps and backward ranges too: the same verdict."""
    connection.execute(LOOSE)
    bench_database = BenchDatabase(database, "loose")
    dice = random.Random(8)  # noqa: S311 - no secret
    seen = set()
    for _ in range(60):
        [event] = bench_database.make_events(1)
        for _ in range(dice.randint(0, 8)):
            first = dice.randint(0, 12)
            numbers = (event, first, first + dice.choice([-3, 0, 3, 3, 7]))
            connection.execute(
                "INSERT INTO loose.ticket_allocations VALUES (%s, 'u', %s, %s)", numbers
            )
        for number in range(dice.randint(1, 4), dice.randint(4, 8)):
            connection.execute(
                "INSERT INTO loose.issued_tickets VALUES (%s, 'u', %s)", (event, number)
            )
        [joined] = bench_database.judge([event])
        [whole] = check(read_ledger(connection, "loose", event))
        assert (joined.issued, joined.unique) == (whole.issued, whole.unique)
        counts = [{one.kind: one.count for one in each.violations} for each in (joined, whole)]
        assert counts[0] == counts[1]
        seen |= counts[0].keys()
    bench_database.close()
    assert {"duplicate", "gap", "backward", "drift", "out_of_range"} <= seen


def test_clean_tickets_are_one_line_of_the_joined_ledger(connection, database):
    bench_database = BenchDatabase(database, "fixed")
    [event] = bench_database.make_events(1, sold=80_000)
    [verdict] = bench_database.judge([event])
    assert first_violations([verdict]) == []
    assert verdict.issued == bench_database.sold([event]) == 80_000
    [ledger] = read_ledger(connection, "fixed", event, joined=True)
    assert len(ledger.issues) == 1
    bench_database.remove()
    assert read_ledger(connection, "fixed") == []
    bench_database.close()


# The load workers


@contextlib.asynccontextmanager
async def http_server(answer):
    """Run a server that calls *answer* for each request; it hangs up when that returns False."""
    handlers = []

    async def serve(reader, writer):
        handlers.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"}") and await answer(writer):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/purchase"
        await asyncio.gather(*handlers)


async def run_load(bench, url, connections, limit):
    spec = LoadSpec(url, ("E",), 8, connections, TIMEOUT_S, limit=limit)
    return await asyncio.to_thread(bench.pool.run, spec)


async def test_lost_answers_are_in_flight_and_refusals_are_not_sold(bench):
    """A service that sells, refuses and hangs up in turn."""
    statuses = itertools.cycle([b"200 OK", b"409 Conflict", None])

    async def answer(writer):
        if status := next(statuses):
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
        return status

    async with http_server(answer) as url:
        result = await run_load(bench, url, connections=1, limit=9)
    assert (result.sold, result.refused, result.in_flight) == (3, 3, 3)


FRAMINGS = [
    b"Content-Length: 2\r\n\r\n{}",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
]


async def test_an_answer_may_arrive_in_pieces(bench):
    framings = itertools.cycle(FRAMINGS)

    async def answer(writer):
        for byte in b"HTTP/1.1 200 OK\r\n" + next(framings):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        return True

    async with http_server(answer) as url:
        result = await run_load(bench, url, connections=2, limit=6)
    assert (result.sold, result.refused, result.in_flight) == (6, 0, 0)


@pytest.mark.parametrize(
    ("name", "trips"),
    [
        ("range", Trips(1, 0)),
        ("ticket_rows", Trips(4, 2)),
        ("advisory_lock", Trips(6, 4)),
        ("repeatable_read_retry", Trips(5, 2)),
        ("naive", Trips(10, 0)),  # each statement is a transaction of its own
    ],
)
async def test_round_trips_are_counted_and_those_with_a_lock_held(database, name, trips):
    with contextlib.closing(BenchDatabase(database, "fixed")) as opened:
        assert await count_trips(opened, name, *opened.make_events(1)) == trips
