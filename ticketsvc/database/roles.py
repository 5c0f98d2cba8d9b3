"""The role that services connect with: it can sell and read, and nothing else."""

import contextlib
import hmac
import logging

import psycopg
from psycopg import ClientCursor, Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.statements import SQL_FOLDER, load

_log = logging.getLogger("ticketsvc.database")

SELLER = "ticketsvc_seller"
"""The role to which `sql/seller.sql` grants its rights."""

SERVICES = "ticketsvc_service_"
"""The prefix of the logins, members of that role, that the suite makes for its services."""


def ensure_seller(connection: Connection) -> bool:
    """Make the selling role and grant its rights in the schemas of this database.

    Return False when the connected role may not make roles.
    """
    try:
        with connection.transaction():
            connection.execute((SQL_FOLDER / "seller.sql").read_bytes())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def as_service(owner: str) -> str:
    """Return the address of the same database with a login that can only sell and read.

    The login is made on first use, one for each owner. Its password is derived from the owner's,
    so it is stored nowhere. Return *owner* unchanged when it has no password, belongs to a
    service, cannot be reached now, or names a role that may not make logins.
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
            find_role = load("roles")["find_role"].query
            if connection.execute(find_role, {"name": name}).fetchone() is None:
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
    row = connection.execute(load("roles", schema)["may_change_totals"].query).fetchone()
    return row is not None and bool(row[0])


def _make_login(connection: Connection, name: str, password: str) -> None:
    # Not the password but the hash that the server stores: statements may be logged.
    secret = connection.pgconn.encrypt_password(
        password.encode(), name.encode(), b"scram-sha-256"
    ).decode()
    create = load("roles", login=name, group=SELLER)["create_login"]
    # Another command may make it at this moment, with the same password.
    with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        ClientCursor(connection).execute(create.query, {"secret": secret})


def _derived(secret: str, purpose: str) -> str:
    return hmac.new(secret.encode(), f"{SERVICES}{purpose}".encode(), "sha256").hexdigest()
