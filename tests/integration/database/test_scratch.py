"""A database of one's own: made, dropped, and swept up after runs that were killed."""

import weakref

import psycopg
import pytest
from psycopg import sql

from tests.support.clusters import databases_named
from ticketsvc.database.scratch import scratch_database
from ticketsvc.errors import UsageError

PURPOSES = ("bench", "explore")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_it_has_both_schemas_and_goes_with_its_user(database, connection, purpose):
    added = ["CREATE TABLE original.added ()"]
    with pytest.raises(ZeroDivisionError), scratch_database(database, purpose, added) as url:
        assert len(databases_named(connection, "ticketsvc_")) == 1
        with psycopg.connect(url) as inside:
            for table in ("original.added", "original.ticket_pools", "fixed.ticket_pools"):
                assert inside.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,)
        raise ZeroDivisionError
    assert databases_named(connection, "ticketsvc_") == set()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_a_killed_run_left_goes_and_what_is_in_use_stays(database, connection, purpose):
    [other] = set(PURPOSES) - {purpose}
    killed, foreign = f"ticketsvc_{purpose}_killed", f"ticketsvc_{other}_killed"
    for name in (killed, foreign):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with scratch_database(database, purpose):
        assert killed not in databases_named(connection, "ticketsvc_")
        before = databases_named(connection, "ticketsvc_")
        with scratch_database(database, purpose):
            assert before < databases_named(
                connection, "ticketsvc_"
            )  # the other run is alive, and so is its database
        assert databases_named(connection, "ticketsvc_") == before
    assert databases_named(connection, "ticketsvc_") == {foreign}
    connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(foreign)))


def test_a_role_that_may_not_create_one_is_told_so(database, connection):
    connection.execute("CREATE ROLE t_plain LOGIN PASSWORD 'plain'")
    plain = psycopg.conninfo.make_conninfo(database, user="t_plain", password="plain")
    try:
        with (
            pytest.raises(UsageError, match="bench works in a database"),
            scratch_database(plain, "bench"),
        ):
            pass
    finally:
        connection.execute("DROP ROLE t_plain")


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
