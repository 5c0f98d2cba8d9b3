"""The role that services connect with: it sells and reads, and that is all."""

import contextlib
import hmac
import logging

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.statements import SQL_FOLDER

_log = logging.getLogger("ticketsvc.database")

SELLER = "ticketsvc_seller"
"""What `sql/seller.sql` gives the rights to."""

SERVICES = "ticketsvc_service_"
"""How the logins begin, members of it, of the services that the suite starts."""


def ensure_seller(connection: Connection) -> bool:
    """Make the selling role, and return it its rights in the schemas of this database.

    Tell whether that could be done: an owner who may not make roles goes without.
    """
    try:
        with connection.transaction():
            connection.execute((SQL_FOLDER / "seller.sql").read_bytes())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def as_service(owner: str) -> str:
    """Return the address of the same database for a service: with a login that only sells.

    The login is made on first use, one for each owner. Its password is derived from the owner's:
    everybody who has the one finds the other, and it is kept nowhere. Given back as it is: an
    address without a password, one of a service, one that leads nowhere now, and one whose role
    may not make logins.
    """
    parts = conninfo_to_dict(owner)
    if not parts.get("password") or str(parts.get("user")).startswith(SERVICES):
        return owner
    secret = f"{parts.get('user')}:{parts['password']}"
    name = SERVICES + _derived(secret, "name")[:12]
    password = _derived(secret, "password")
    address = make_conninfo(owner, user=name, password=password)
    try:
        with psycopg.connect(owner, autocommit=True, connect_timeout=5) as connection:
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            if known is None:
                _make_login(connection, name, password)
        with psycopg.connect(address, connect_timeout=5):
            return address
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as problem:
        _log.warning("a service connects as the owner: %s", type(problem).__name__)
        return owner
    except psycopg.errors.UndefinedObject:  # no seller: the owner may not make roles
        return owner


def is_more_than_a_seller(connection: Connection, schema: str) -> bool:
    """Tell whether the connected role could change the total of a pool of *schema*."""
    row = connection.execute(
        "SELECT has_column_privilege(%s, 'total', 'UPDATE')", [f"{schema}.ticket_pools"]
    ).fetchone()
    return row is not None and bool(row[0])


def _make_login(connection: Connection, name: str, password: str) -> None:
    # Not the password but what the server stores of it: statements may be logged.
    secret = connection.pgconn.encrypt_password(
        password.encode(), name.encode(), b"scram-sha-256"
    ).decode()
    make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
    # Made at this moment by another: with the same password.
    with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        connection.execute(make.format(sql.Identifier(name), secret, sql.Identifier(SELLER)))


def _derived(secret: str, purpose: str) -> str:
    return hmac.new(secret.encode(), f"{SERVICES}{purpose}".encode(), "sha256").hexdigest()
