"""Ranges become ticket rows: each ticket once, though workers are killed and others buy."""

import signal

import psycopg
import pytest

from tests.support.commands import error_line, json_of, start_command
from tests.support.ledgers import is_clean, verdict_of, violations_of
from tests.support.waiting import TIMEOUT_S, eventually
from ticketsvc.database.expansion import Expansion, expand
from ticketsvc.database.seeding import reset_event
from ticketsvc.database.statements import load

BATCH = load("expand", "fixed")["expand_batch"].query.decode()


@pytest.fixture
def sold(connection):
    """An event of 80 tickets, of which ten buyers have 1 to 80 as ranges."""
    reset_event(connection, "fixed", "E", 88)
    users = [f"u{n}" for n in range(10)]
    connection.execute("SELECT fixed.reserve('E', %s::varchar[], %s)", [users, [8] * 10])
    return connection


@pytest.fixture
def other(database):
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def batch(connection, ranges, query=BATCH):
    return connection.execute(query, {"event": "E", "ranges": ranges}).rowcount


def rows(connection):
    return connection.execute(
        "SELECT ticket_number, user_id FROM fixed.tickets ORDER BY 1, 2"
    ).fetchall()


async def test_workers_give_each_ticket_one_row_with_its_holder_and_time(sold, database):
    when = "SELECT sum(extract(epoch FROM created_at)) FROM fixed.tickets"
    before, times = rows(sold), sold.execute(when).fetchone()
    assert await expand(database, workers=4) == Expansion(80, 0)
    assert rows(sold) == before
    assert sold.execute(when).fetchone() == times
    assert is_clean(sold)
    assert await expand(database) == Expansion(0, 0)


def test_a_worker_that_ends_early_leaves_its_ranges_to_the_others(sold, database):
    killed = psycopg.connect(database)
    assert (batch(killed, 3), batch(sold, 3)) == (24, 24)  # not those that the first holds
    sold.execute("SELECT pg_terminate_backend(%s, 5000)", [killed.info.backend_pid])
    killed.close()
    assert (batch(sold, 100), batch(sold, 100)) == (56, 0)
    assert is_clean(sold)


def test_ranges_that_stay_are_counted_twice_and_refused_the_second_time(sold):
    """Negative control: without the removal, and without the trigger that would refuse that."""
    kept = BATCH.replace("DELETE FROM", "SELECT * FROM").replace("RETURNING *", "")
    kept = kept.replace("FOR UPDATE SKIP LOCKED", "")
    with pytest.raises(psycopg.errors.CheckViolation, match="do not continue the sequence"):
        batch(sold, 3, kept)
    sold.execute("DROP TRIGGER issue_in_sequence ON fixed.issued_tickets")
    assert batch(sold, 3, kept) == 24
    assert violations_of(verdict_of(sold)) == {"duplicate", "oversold", "drift"}
    with pytest.raises(psycopg.errors.UniqueViolation):
        batch(sold, 3, kept)


def test_a_sale_does_not_wait_for_a_batch(sold, other):
    with sold.transaction():
        assert batch(sold, 3) == 24
        other.execute("SET lock_timeout = '1ms'")
        other.execute("SELECT fixed.reserve('E', '{v}', '{8}')")
    assert is_clean(sold)


@pytest.mark.parametrize(("holder", "last"), [("v", 8), ("u0", 7)])
def test_only_the_whole_range_of_the_same_holder_becomes_rows(sold, holder, last):
    with pytest.raises(psycopg.IntegrityError) as refusal:
        sold.execute(
            "WITH gone AS (DELETE FROM fixed.ticket_allocations WHERE start_ticket = 1) "
            "INSERT INTO fixed.issued_tickets SELECT 'E', n, %s FROM generate_series(1, %s) AS n",
            [holder, last],
        )
    assert refusal.value.diag.constraint_name == "issued_for_good"


async def test_the_rate_bounds_a_batch(sold, database):
    seen = []
    await expand(database, rate=160, on_tickets=seen.append)
    assert seen == [16] * 5  # a tenth of a second's tickets each; without a rate, 80 at once


def test_the_command_says_what_it_did(sold, database, cli_here):
    done = json_of(cli_here("expand", "--workers", "2", "--json", DATABASE_URL=database))
    assert (done["tickets"], done["ranges_left"]) == (80, 0)
    assert "no event 'X'" in error_line(cli_here("expand", "--event", "X", DATABASE_URL=database))


@pytest.fixture
def halfway(sold, database):
    """`expand` in the middle: one range has become rows, and the next waits for its time."""
    running = start_command("expand", "--rate", "1", DATABASE_URL=database)
    done = "SELECT FROM fixed.issued_tickets"
    eventually(lambda: running.poll() is not None or sold.execute(done).fetchall())
    yield running
    running.kill()
    running.communicate()


async def test_what_a_signal_interrupts_is_finished_by_the_next_run(sold, database, halfway):
    halfway.send_signal(signal.SIGTERM)
    _, said = halfway.communicate(timeout=TIMEOUT_S)
    assert (said, halfway.returncode) == ("ticketsvc: stopped by SIGTERM\n", 128 + signal.SIGTERM)
    assert (await expand(database)).ranges_left == 0
    assert is_clean(sold)


async def test_workers_whose_sessions_the_database_ends_raise_its_error(sold, database):
    def end_sessions(_):
        sold.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE '%WITH removed AS%' AND pid <> pg_backend_pid()"
        )

    with pytest.raises(psycopg.OperationalError):
        await expand(database, workers=2, rate=160, on_tickets=end_sessions)
    assert is_clean(sold)
