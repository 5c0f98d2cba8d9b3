"""The role that services connect with: it sells and reads, and that is all."""

import contextlib
import hashlib
import hmac

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.statements import SQL_FOLDER

SELLER = "ticketsvc_seller"
"""What `sql/seller.sql` gives the rights to."""

SERVICE = "ticketsvc_service"
"""The login, a member of it, of the services that the suite starts."""


def ensure_seller(connection: Connection) -> None:
    """Make the selling role, and give it its rights in the schemas of this database.

    The owner of the schemas who may not make roles goes without.
    """
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute((SQL_FOLDER / "seller.sql").read_bytes())


def as_service(owner: str) -> str:
    """Give the address of the same database for a service: with the login that only sells.

    The login is made on first use. Its password is derived from the owner's: everybody who has
    that finds the same one, and it is kept nowhere. An address without a password, and one whose
    role may not make logins, is given back as it is.
    """
    parts = conninfo_to_dict(owner)
    if not parts.get("password") or parts.get("user") == SERVICE:
        return owner
    password = hmac.new(str(parts["password"]).encode(), SERVICE.encode(), hashlib.sha256)
    address = make_conninfo(owner, user=SERVICE, password=password.hexdigest())
    try:
        with psycopg.connect(owner, autocommit=True, connect_timeout=5) as connection:
            if _sells(connection, address):
                return address
            _make_login(connection, password.hexdigest())
            return address if _sells(connection, address) else owner
    except psycopg.Error:
        return owner


def is_more_than_a_seller(connection: Connection, schema: str) -> bool:
    """Tell whether the connected role could change the total of a pool of *schema*."""
    row = connection.execute(
        "SELECT has_column_privilege(%s, 'total', 'UPDATE')", [f"{schema}.ticket_pools"]
    ).fetchone()
    return row is not None and bool(row[0])


def _sells(connection: Connection, address: str) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [SERVICE]
    ).fetchone()
    if row is None or not row[0]:
        return False
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(address) as service:
        able = service.execute("SELECT pg_has_role(%s, 'USAGE')", [SELLER]).fetchone()
        return able is not None and bool(able[0])
    return False


def _make_login(connection: Connection, password: str) -> None:
    # Not the password but what the server stores of it: statements may be logged.
    secret = connection.pgconn.encrypt_password(
        password.encode(), SERVICE.encode(), b"scram-sha-256"
    ).decode()
    name, seller = sql.Identifier(SERVICE), sql.Identifier(SELLER)
    with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, secret))
    connection.execute(sql.SQL("GRANT {} TO {}").format(seller, name))
