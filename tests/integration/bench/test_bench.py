"""`bench`: audited runs, no figure for a damaged one, and nothing left behind."""

import asyncio
import random
import shutil

import psycopg
import pytest

from tests.support.clusters import databases_named
from tests.support.commands import json_of
from ticketsvc.database.schemas import reset_event
from ticketsvc.database.scratch import scratch_database
from ticketsvc.lab.bench import load_pool as buying
from ticketsvc.lab.bench.database import Stage, faults_of
from ticketsvc.lab.bench.generators import choose_generator
from ticketsvc.lab.bench.load_spec import Shot
from ticketsvc.lab.bench.memory import resident_after_events
from ticketsvc.lab.bench.plan import Case, Contender
from ticketsvc.lab.bench.suite import Peer, open_bench
from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger

QUICK = ("bench", "--json", "--seconds", "0.5", "--repetitions", "1", "--connections", "8")
OWN = ("--generator", "own")
LOOSE = """
CREATE SCHEMA loose;
CREATE TABLE loose.ticket_pools (event_id text, total integer, available integer);
CREATE TABLE loose.issued_tickets (event_id text, user_id text, ticket_number integer);
CREATE TABLE loose.ticket_allocations
    (event_id text, user_id text, start_ticket integer, end_ticket integer)
"""
GENERATORS = [
    "own",
    pytest.param("wrk", marks=pytest.mark.skipif(not shutil.which("wrk"), reason="no wrk here")),
]


def test_a_run_is_audited_and_leaves_nothing(database, cli):
    answer = json_of(cli(*QUICK, *OWN, "--allocator", "range", DATABASE_URL=database))
    assert answer["facts"]["generator"].startswith("our own")
    noop, sold = answer["rows"]
    assert (noop["kind"], noop["audit"]) == ("ceiling", "sells nothing")
    assert (sold["contender"], sold["audit"], sold["faults"]) == ("range", "clean", [])
    assert sold["goodput_per_s"] > 0
    assert sold["of_range"] == 1
    assert sold["of_noop"] == sold["goodput_per_s"] / noop["goodput_per_s"]
    assert None not in [sold[name] for name in ("p50_ms", "p99_ms", "server_cpu_us", "wal_bytes")]
    [_, run] = answer["runs"]
    assert 0 <= run["issued_purchases"] - run["sold"] <= run["in_flight"] + 8
    with psycopg.connect(database) as connection:
        assert databases_named(connection, "ticketsvc_bench") == set()


def test_naive_gets_no_figure(database, cli):
    """Negative control: it does sell, and what it sells is damaged."""
    chosen = ("--allocator", "naive", "--allocator", "range")
    result = cli(*QUICK, *OWN, *chosen, DATABASE_URL=database)
    answer = json_of(result, 1)
    rows = {row["name"]: row for row in answer["rows"]}
    assert rows["naive"]["goodput_per_s"] is rows["naive"]["p50_ms"] is None
    assert rows["naive"]["audit"] == "not clean"
    assert rows["naive"]["sold"] > 0
    assert any("duplicate" in fault for fault in rows["naive"]["faults"])
    assert rows["range"]["goodput_per_s"] > 0
    assert "no figure for naive" in result.stderr


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("name", GENERATORS)
def test_both_generators_agree_with_the_ledger(database, connection, name, keys):
    contender = Contender("range", durable=False, keys=keys)
    with open_bench(database, [contender], seconds=0.5, generator=choose_generator(name)) as bench:
        for case in (Case(contender, 1), Case(contender, 32, events=20, quantity=16)):
            [one] = bench.run([case], 1)
            assert (one.audit, one.faults) == ("clean", ())
            confirmed = one.fired.sold + one.fired.late
            assert confirmed <= one.issued_purchases <= confirmed + one.fired.in_flight
            assert one.fired.sold > 0
            assert one.fired.p50_ms <= one.fired.p95_ms <= one.fired.p99_ms


def test_several_workers_are_one_contender(database):
    contender = Contender("range", durable=False, workers=2)
    own = choose_generator("own")
    with open_bench(database, [contender], seconds=0.3, generator=own) as bench:
        assert len(bench.servers[contender].processes) >= 3  # one that watches over two
        [one] = bench.run([Case(contender, 8)], 1)
    assert (one.audit, one.faults) == ("clean", ())


def test_tickets_sold_beforehand_are_not_counted(database):
    contender = Contender("range", durable=False)
    own = choose_generator("own")
    with open_bench(database, [contender], seconds=0.3, generator=own) as bench:
        case = Case(contender, 4, sold=80_000)
        runs = bench.run([case], 2)
        assert [one.audit for one in runs] == ["clean"] * 2
        assert sum(one.issued_purchases for one in runs) < 80_000 / 8


def test_purchases_of_one_commit_are_counted_together(database):
    contender = Contender("group_commit", durable=False)
    own = choose_generator("own")
    with open_bench(database, [contender], seconds=0.3, generator=own) as bench:
        server = bench.servers[contender]
        events = server.stage.fresh(1)
        fired = buying.fire(Shot(server.url, events, 8, 16, 5.0, limit=200))
        sizes = server.stage.purchases_per_commit(events)
    assert sum(purchases * commits for purchases, commits in sizes) == fired.sold == 200
    assert max(purchases for purchases, _ in sizes) <= 16


# Foreign services


def test_a_peer_is_audited_in_its_own_database(database, connection, serve, cli):
    reset_event(connection, "fixed", "THEIRS", 800, 80)
    url = serve(database, "ticket_rows").url
    peer = ("--peer-url", f"theirs={url}", "--peer-database-url", database)
    more = ("--peer-schema", "fixed", "--allocator", "range")
    answer = json_of(cli(*QUICK, *OWN, *peer, *more, DATABASE_URL=database))
    row = answer["rows"][-1]
    assert (row["contender"], row["kind"], row["audit"]) == ("theirs", "peer", "clean")
    assert row["of_range"] > 0
    assert row["server_cpu_us"] > 0  # found by its port
    [left] = read_ledger(connection, "fixed")
    assert (left.event, left.available) == ("THEIRS", 720)


def test_a_peer_that_damages_gets_no_figure(database, serve, cli):
    peer = ("--peer-url", f"theirs={serve(database, 'naive').url}", "--peer-schema", "original")
    known = ("--peer-database-url", database, "--allocator", "range")
    answer = json_of(cli(*QUICK, *OWN, *peer, *known, DATABASE_URL=database), 1)
    assert answer["rows"][-1]["goodput_per_s"] is None


def test_a_peer_without_a_database_is_said_to_be_unaudited(database, connection, serve, cli):
    reset_event(connection, "fixed", "E", 800_000)
    peer = ("--peer-url", serve(database, "range").url, "--peer-event", "E")
    answer = json_of(cli(*QUICK, *OWN, *peer, "--allocator", "range", DATABASE_URL=database))
    row = answer["rows"][-1]
    assert row["audit"] == "unaudited"
    assert row["goodput_per_s"] > 0
    assert row["wal_bytes"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("--peer-url", "http://192.0.2.1:3000", "--peer-event", "E"),
        ("--peer-url", "http://127.0.0.1:3000"),
        ("--peer-database-url", "postgresql://127.0.0.1/x"),
        ("--peer-noop-url", "http://127.0.0.1:1/noop"),
        ("--allocator", "fastest"),
        ("--connections", "0"),
        ("--connections", "1000"),
        ("--events", "0"),
        ("--quantity", "7"),
        ("--seconds", "0"),
        ("--repetitions", "0"),
        ("--generator", "ab"),
        ("--grow", "sideways"),
        ("--size", "8"),
        ("--grow", "quantity", "--size", "9"),
        ("--grow", "events", "--connections", "1", "--connections", "2"),
    ],
    ids=" ".join,
)
def test_nonsense_is_refused_in_one_line(database, cli_here, arguments):
    result = cli_here("bench", *arguments, DATABASE_URL=database)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("ticketsvc: ")
    assert not result.stdout


# Growth


def test_growth_is_judged(database, cli):
    grow = ("--grow", "quantity", "--size", "8", "--size", "80")
    answer = json_of(cli(*QUICK, *OWN, "--allocator", "range", *grow, DATABASE_URL=database))
    [judged] = answer["growth"]
    assert (judged["contender"], judged["from_size"], judged["to_size"]) == ("range", 8, 80)
    assert [row["quantity"] for row in answer["rows"]] == [8, 8, 80, 80]


def test_memory_is_taken_before_and_after(database):
    found = resident_after_events(database, "range", 300)
    assert found["purchases"] == 300
    assert found["before_bytes"] > 2**20
    assert found["grown_bytes"] == found["after_bytes"] - found["before_bytes"]


# The audit


def test_the_joined_ledger_is_judged_as_the_whole_one(connection, database):
    """Whatever lies in the tables, overlaps and backward ranges too: the same verdict."""
    connection.execute(LOOSE)
    stage = Stage(database, "loose")
    dice = random.Random(8)  # noqa: S311 - no secret
    seen = set()
    for _ in range(60):
        [event] = stage.fresh(1)
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
        [joined] = stage.judge([event])
        [whole] = check(read_ledger(connection, "loose", event))
        assert (joined.issued, joined.unique) == (whole.issued, whole.unique)
        counts = [{one.kind: one.count for one in each.violations} for each in (joined, whole)]
        assert counts[0] == counts[1]
        seen |= counts[0].keys()
    stage.close()
    assert {"duplicate", "gap", "backward", "drift", "out_of_range"} <= seen


def test_clean_tickets_are_one_line_of_the_joined_ledger(connection, database):
    stage = Stage(database, "fixed")
    [event] = stage.fresh(1, sold=8_000_000)
    [verdict] = stage.judge([event])
    assert faults_of([verdict]) == []
    assert verdict.issued == stage.sold([event]) == 8_000_000
    [ledger] = read_ledger(connection, "fixed", event, joined=True)
    assert len(ledger.issues) == 1
    stage.remove()
    assert read_ledger(connection, "fixed") == []
    stage.close()


def test_the_database_of_a_run_goes_even_when_the_run_fails(database):
    with pytest.raises(RuntimeError), scratch_database(database, "bench"):
        raise RuntimeError
    with psycopg.connect(database) as connection:
        assert databases_named(connection, "ticketsvc_bench") == set()


# The generator of our own


async def test_lost_answers_are_in_flight_and_refusals_are_not_sold():
    """A service that sells, refuses and hangs up in turn."""
    asked = 0

    async def serve(reader, writer):
        nonlocal asked
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
            asked += 1
            if asked % 3 == 0:
                break
            status = b"200 OK" if asked % 3 == 1 else b"409 Conflict"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        shot = Shot(f"http://127.0.0.1:{port}/purchase", ("E",), 8, 1, 10.0, limit=9)
        fired = await asyncio.to_thread(buying.fire, shot)
    assert (fired.sold, fired.refused, fired.in_flight) == (3, 3, 3)


def test_an_event_that_nobody_can_make_is_bought_as_told(database, connection, serve):
    reset_event(connection, "fixed", "E", 80_000)
    theirs = Contender("theirs", "peer", url=serve(database, "range").url)
    own = choose_generator("own")
    with open_bench(database, [theirs], seconds=0.3, generator=own, peer=Peer(event="E")) as bench:
        [one] = bench.run([Case(theirs, 2)], 1)
    [left] = read_ledger(connection, "fixed", "E")
    assert one.audit == "unaudited"
    assert left.available < 80_000
