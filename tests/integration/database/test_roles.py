"""The role of the service can sell and read, and is refused everything else."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.buying import buy, open_allocator
from tests.support.clusters import login
from tests.support.ledgers import is_clean
from ticketsvc.allocators import ALLOCATORS
from ticketsvc.database.roles import SERVICES, as_service
from ticketsvc.database.schemas import SCHEMAS, ensure_schemas
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import UsageError
from ticketsvc.purchases import TicketRange
from ticketsvc.sales.seller import sell

# What a stolen connection of the service must not be able to do.
FORBIDDEN = {
    "raise a total": "UPDATE {s}.ticket_pools SET total = total + 8",
    "lower a total": "UPDATE {s}.ticket_pools SET total = total - 8",
    "rename an event": "UPDATE {s}.ticket_pools SET event_id = 'mine'",
    "make an event": "INSERT INTO {s}.ticket_pools (event_id, total, available) VALUES ('x', 8, 8)",
    "remove an event": "DELETE FROM {s}.ticket_pools",
    "empty the pools": "TRUNCATE {s}.ticket_pools",
    "delete ticket rows": "DELETE FROM {s}.issued_tickets",
    "empty the ticket rows": "TRUNCATE {s}.issued_tickets",
    "take over ticket rows": "UPDATE {s}.issued_tickets SET user_id = 'me'",
    "renumber ticket rows": "UPDATE {s}.issued_tickets SET ticket_number = 1",
    "add a column": "ALTER TABLE {s}.ticket_pools ADD COLUMN more integer",
    "drop a table": "DROP TABLE {s}.issued_tickets",
    "make a table": "CREATE TABLE {s}.mine (id integer)",
    "drop the schema": "DROP SCHEMA {s} CASCADE",
    "switch triggers off": "ALTER TABLE {s}.issued_tickets DISABLE TRIGGER ALL",
    "add an index": "CREATE INDEX ON {s}.ticket_pools (available)",
}
FORBIDDEN_OF_FIXED = {
    "delete ranges": "DELETE FROM fixed.ticket_allocations",
    "empty the ranges": "TRUNCATE fixed.ticket_allocations",
    "take over ranges": "UPDATE fixed.ticket_allocations SET user_id = 'me'",
    "move ranges": "UPDATE fixed.ticket_allocations SET end_ticket = end_ticket + 8",
    "drop a constraint": "ALTER TABLE fixed.ticket_pools DROP CONSTRAINT ticket_pools_in_step",
    "drop a trigger": "DROP TRIGGER issue_in_sequence ON fixed.ticket_allocations",
    "forget keys": "DELETE FROM fixed.idempotency_keys",
    "empty the keys": "TRUNCATE fixed.idempotency_keys",
    "change a stored answer": "UPDATE fixed.idempotency_keys SET first_ticket = 1",
    "age a key": "UPDATE fixed.idempotency_keys SET created_at = now() - interval '2 days'",
    "replace the rule": "CREATE OR REPLACE FUNCTION fixed.forget_old_keys() RETURNS bigint"
    " LANGUAGE sql AS 'SELECT 0::bigint'",
}
FORBIDDEN_OF_THE_SERVER = {
    "make a database": "CREATE DATABASE mine",
    "make a role": "CREATE ROLE mine",
    "become the owner": "SET ROLE postgres",
    "switch durability off for all": "ALTER SYSTEM SET fsync = off",
    "skip triggers": "SET session_replication_role = replica",
    "read a file": "COPY (SELECT 1) TO PROGRAM 'true'",
    "read passwords": "SELECT rolpassword FROM pg_authid",
    "make a table in public": "CREATE TABLE public.mine (id integer)",
}
EVERY = {
    **{f"{what} ({s})": q.format(s=s) for s in SCHEMAS for what, q in FORBIDDEN.items()},
    **FORBIDDEN_OF_FIXED,
    **FORBIDDEN_OF_THE_SERVER,
}


@pytest.fixture
def service(database):
    address = as_service(database)
    assert conninfo_to_dict(address)["user"].startswith(SERVICES)
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def test_the_service_is_refused(connection, service):
    reset_event(connection, "fixed", "E", 80, 16)
    reset_event(connection, "original", "E", 80, 16)
    for what, statement in EVERY.items():
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute(statement)
        # The negative control: it is the role that is refused, not the statement.
        if "DATABASE" not in statement and "ALTER SYSTEM" not in statement:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(statement)
            except psycopg.Error as refusal:
                assert not isinstance(refusal, psycopg.errors.InsufficientPrivilege), what


async def test_every_allocator_sells_as_that_role(database, connection):
    for allocator, found in ALLOCATORS.items():
        for schema in found.mechanism.schemas:
            ensure_schemas(connection, recreate=True)
            for line in found.mechanism.constraint.split(";"):
                if line:
                    connection.execute(line.replace("{schema}", schema))
            reset_event(connection, schema, "E", 80)
            address = as_service(database)
            async with open_allocator(address, allocator, schema) as seller:
                assert await sell(seller, buy(16)) == TicketRange(1, 16)
                who = connection.execute(
                    "SELECT DISTINCT usename FROM pg_stat_activity"
                    " WHERE application_name = 'ticketsvc' AND datname = current_database()"
                ).fetchall()
            assert who == [(conninfo_to_dict(address)["user"],)], allocator
            assert is_clean(connection, schema)


def test_the_login_is_found_again_and_that_of_another_owner_left_alone(database, connection):
    address = as_service(database)
    assert as_service(database) == address
    assert as_service(address) == address
    with login(connection, database, "another", "SUPERUSER") as other:
        theirs = as_service(other)
        assert conninfo_to_dict(theirs)["user"] != conninfo_to_dict(address)["user"]
        for one in (address, theirs):
            psycopg.connect(one).close()


def test_a_login_whose_password_was_changed_is_not_taken_over(database, connection, caplog):
    name = conninfo_to_dict(as_service(database))["user"]
    connection.execute(f"ALTER ROLE {name} PASSWORD 'another'")
    try:
        assert as_service(database) == database
        assert "as the owner" in caplog.text
        psycopg.connect(make_conninfo(database, user=name, password="another")).close()
    finally:
        connection.execute(f"DROP ROLE {name}")


def test_a_role_that_may_not_make_logins_serves_itself(database, connection):
    with login(connection, database, "plain") as plain:
        assert as_service(plain) == plain
        with psycopg.connect(plain, autocommit=True) as poor:
            connection.execute("DROP SCHEMA original CASCADE")
            with pytest.raises(UsageError, match="may not create it"):
                ensure_schemas(poor)


def test_the_service_can_forget_only_keys_of_a_day_ago(connection, service):
    connection.execute(
        "INSERT INTO fixed.idempotency_keys (key, event_id, user_id, quantity, first_ticket,"
        " created_at) SELECT hours::text, 'E', 'u', 8, 1, now() - make_interval(hours => hours)"
        " FROM unnest('{0, 23, 25, 48}'::int[]) AS hours"
    )
    for forgotten in (2, 0):
        assert service.execute("SELECT fixed.forget_old_keys()").fetchone() == (forgotten,)
    kept = service.execute("SELECT key FROM fixed.idempotency_keys ORDER BY key").fetchall()
    assert kept == [("0",), ("23",)]
