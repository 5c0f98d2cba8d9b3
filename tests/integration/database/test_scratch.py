"""A database of one's own: made, dropped, and swept up after runs that were killed."""

import weakref

import psycopg
import pytest

from tests.support.clusters import databases_named
from ticketsvc.database.scratch import scratch_database


def test_it_has_both_schemas_and_goes_with_its_user(database, connection):
    added = ["CREATE TABLE original.added ()"]
    with pytest.raises(ZeroDivisionError), scratch_database(database, "bench", added) as url:
        assert len(databases_named(connection, "ticketsvc_")) == 1
        with psycopg.connect(url) as inside:
            for table in ("original.added", "original.ticket_pools", "fixed.ticket_pools"):
                assert inside.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,)
        raise ZeroDivisionError
    assert databases_named(connection, "ticketsvc_") == set()


def test_what_a_killed_run_left_goes_and_what_is_in_use_stays(database, connection):
    killed, foreign = "ticketsvc_bench_killed", "ticketsvc_explore_killed"
    for name in (killed, foreign):
        connection.execute(f"CREATE DATABASE {name}")
    with scratch_database(database, "bench"):
        before = databases_named(connection, "ticketsvc_")
        assert killed not in before
        with scratch_database(database, "bench"):  # the other run is alive, and so is its database
            assert before < databases_named(connection, "ticketsvc_")
        assert databases_named(connection, "ticketsvc_") == before
    assert databases_named(connection, "ticketsvc_") == {foreign}
    connection.execute(f"DROP DATABASE {foreign}")


def test_a_connection_that_was_interrupted_while_it_opened_does_not_hold_up_the_end(database):
    opened = []

    def interrupted(url):
        half_open = psycopg.pq.PGconn.connect_start(url.encode())
        opened.append(weakref.ref(half_open))
        raise SystemExit

    with (
        pytest.raises(SystemExit) as caught,
        scratch_database(database, "bench", schemas=False) as url,
    ):
        interrupted(url)
    assert caught.tb  # its frames held the connection; the server waits a minute for the password
    assert opened[0]() is None
