"""Behind a real PgBouncer that gives every transaction another session."""

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.buying import buy, post_purchase
from tests.support.commands import error_line
from tests.support.ledgers import is_clean
from tests.support.programs import configuration, find_program, require_program
from tests.support.waiting import TIMEOUT_S, eventually
from tests.support.web_servers import serve_sales
from ticketsvc.allocators import ALLOCATORS, SAFE
from ticketsvc.database import pool as pool_module
from ticketsvc.database.binaries import server_account
from ticketsvc.database.embedded import free_port
from ticketsvc.database.pool import Pool
from ticketsvc.database.pooler import check_pooler
from ticketsvc.database.roles import as_service
from ticketsvc.database.seeding import reset_event
from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload
from ticketsvc.lab.workload.services import running_each
from ticketsvc.purchases import TicketRange
from ticketsvc.sales.seller import Seller
from ticketsvc.settings import Settings

# Each of 8 connections buys often enough to prepare its statement, on one of two sessions.
CLIENTS, POOL, SESSIONS, PURCHASES = 12, 4, 2, 96


@contextlib.contextmanager
def start_bouncer(database, sessions):
    """Run PgBouncer with the configuration of docs/deploy.md, and *sessions* to the database.

    Return the address of *database*, a URL with a password, through it.
    """
    program = require_program("pgbouncer")
    folder, account, port = Path(tempfile.mkdtemp(prefix="t-")), server_account(), free_port()
    to = conninfo_to_dict(database)
    changes = {
        "port=5432": f"port={to['port']}",
        "listen_port = 6432": f"listen_port = {port}",
        "/etc/pgbouncer/": f"{folder}/",
        "default_pool_size = 20": f"default_pool_size = {sessions}",
    }
    (folder / "pgbouncer.ini").write_text(configuration("pgbouncer.ini", changes))
    (folder / "userlist.txt").write_text(f'"{to["user"]}" "{to["password"]}"\n')
    account.own(folder)  # it does not run as root
    with (folder / "log").open("wb") as log:
        command = [program, str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, stderr=log, **account.popen_arguments())
    pooled = psycopg.conninfo.make_conninfo(database, port=port)
    try:
        eventually(lambda: process.poll() is not None or _accepts(pooled))
        assert process.poll() is None, (folder / "log").read_text()
        yield pooled
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        shutil.rmtree(folder)


def keeps_prepared_statements():
    """Tell whether this PgBouncer (1.21 or newer) prepares statements again in each session."""
    if (program := find_program("pgbouncer")) is None:
        return False
    command = [program, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    major, minor = said.split()[1].split(".")[:2]
    return (int(major), int(minor)) >= (1, 21)


def _accepts(address):
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(address).close()
        return True
    return False


@pytest.fixture(scope="module")
def owner(server):
    with server.clone() as database:
        yield database


@pytest.fixture(scope="module")
def pooled(owner):
    """The address of the service's login through PgBouncer."""
    with start_bouncer(as_service(owner), SESSIONS) as address:
        yield address


@pytest.fixture
def stock(owner):
    """A connection to the database itself, where 8 × PURCHASES tickets of E are for sale."""
    with psycopg.connect(owner, autocommit=True) as connection:
        reset_event(connection, "fixed", "E", 8 * PURCHASES)
        yield connection


async def sold_by(seller, purchase):
    try:
        return await seller.sell(purchase)
    except Exception as problem:
        return problem


async def sell_all(address, name, pooler, rounds=2):
    """Sell by the clients of two instances, then again with the same keys; return all outcomes."""
    async with contextlib.AsyncExitStack() as stack:
        settings = Settings(pool_size=POOL, pool_timeout_s=TIMEOUT_S, pooler=pooler)
        pools = [await stack.enter_async_context(Pool(address, settings)) for _ in range(2)]
        sellers = [Seller(ALLOCATORS[name], pool, "fixed", PURCHASES) for pool in pools]

        async def client(place, shift):
            return [
                await sold_by(sellers[(n + shift) % 2], buy(key=f"{name}-{n}"))
                for n in range(place, PURCHASES, CLIENTS)
            ]

        async def everybody(shift):
            found = await asyncio.gather(*(client(place, shift) for place in range(CLIENTS)))
            return [one for row in found for one in row]

        async with asyncio.timeout(TIMEOUT_S):
            return [await everybody(shift) for shift in range(rounds)]


@pytest.mark.parametrize("name", SAFE)
async def test_two_instances_sell_everything_once(pooled, stock, name):
    sold, again = await sell_all(pooled, name, "transaction")
    assert {type(one) for one in sold} == {TicketRange}
    assert again == sold
    assert sorted(one.first for one in sold) == list(range(1, 8 * PURCHASES, 8))
    assert is_clean(stock)


@pytest.mark.skipif(keeps_prepared_statements(), reason="PgBouncer 1.21 or newer prepares again")
async def test_without_the_setting_purchases_fail(pooled, stock, monkeypatch):
    """Negative control: with the check off, a session holds another client's statement."""

    async def accept(*_):
        pass

    monkeypatch.setattr(pool_module, "check_connection", accept)
    (sold,) = await sell_all(pooled, "range", "none", rounds=1)
    assert {type(one) for one in sold} != {TicketRange}


async def test_a_service_sells_over_http(pooled, stock):
    transaction = {"TICKETSVC_POOLER": "transaction"}
    workload = Workload("E", purchases=PURCHASES, concurrency=CLIENTS, keys=True)
    with running_each(pooled, [("group_commit", {"environment": transaction})]) as urls:
        history = await run_workload(urls, workload)
    assert [one.outcome for one in history] == ["ok"] * PURCHASES
    assert is_clean(stock)


def test_serve_refuses_a_pooler_it_was_not_told_of(pooled, cli):
    refused = cli("serve", "--port", "0", DATABASE_URL=pooled)
    assert "TICKETSVC_POOLER=transaction" in error_line(refused)


async def test_a_pooler_that_appears_later_is_named_by_readyz(pooled, http, stock):
    async with serve_sales(pooled, "range", pool_size=2) as url:
        async with http.get(url + "/readyz") as answer:
            assert answer.status == 503
            assert "TICKETSVC_POOLER=transaction" in await answer.text()
        assert (await post_purchase(http, url))[0] == 503
    assert stock.execute("SELECT available FROM fixed.ticket_pools").fetchone() == (8 * PURCHASES,)


async def test_the_setting_also_sells_without_a_pooler(owner, stock):
    (sold,) = await sell_all(owner, "ticket_rows", "transaction", rounds=1)
    assert {type(one) for one in sold} == {TicketRange}


def test_start_up_options_are_refused(owner):
    check_pooler(owner, "transaction")
    with pytest.raises(UsageError, match="options"):
        check_pooler(f"{owner}?options=-c%20lock_timeout%3D1s", "transaction")
