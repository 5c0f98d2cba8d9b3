"""The nginx configuration of docs/deploy.md, in front of real server processes."""

import asyncio
import subprocess
from contextlib import AsyncExitStack, contextmanager

import psutil
import psycopg
import pytest

from tests.support.buying import post_purchase, read_metrics
from tests.support.ledgers import verdict_of
from tests.support.locks import hold_pool
from tests.support.programs import configuration, require_program
from tests.support.raw_http import BODY, BUY, HEAD, address_of, ask, connect, read_answer
from tests.support.waiting import TIMEOUT_S, eventually, soon
from tests.support.web_servers import serve_sales
from ticketsvc.database.embedded import free_port
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.ledger.reader import read_ledger
from ticketsvc.lab.workload.services import start_service

MOST_REQUESTS = 5
MAIN = """
daemon off;
master_process off;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/ticketsvc.conf;
}}
"""
# The test's own ports, and limits that it can reach in a second.
SMALLER = {
    "client_header_timeout 10s": "client_header_timeout 1s",
    "client_body_timeout 10s": "client_body_timeout 1s",
    "ticketsvc_connections 50": f"ticketsvc_connections {MOST_REQUESTS}",
}


class Proxy:
    """nginx in front of a service."""

    def __init__(self, url, service, database, connection):
        self.url, self.service = url, service
        self.database, self.connection = database, connection

    def sold(self):
        return 8000 - read_ledger(self.connection, "fixed")[0].available

    def upstream_connections(self):
        port = address_of(self.service.url)[1]
        found = psutil.Process(self.service.process.pid).net_connections()
        return [
            each
            for each in found
            if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
        ]


@contextmanager
def in_front_of(urls, folder, changes):
    """Run nginx with *changes* to the configuration until the block ends; return its address."""
    program = require_program("nginx")
    port = free_port()
    servers = "".join("server {}:{};".format(*address_of(each)) for each in urls)
    own = {"listen 80 ": f"listen 127.0.0.1:{port} ", "server 127.0.0.1:3000;": servers}
    (folder / "ticketsvc.conf").write_text(configuration("nginx.conf", own | changes))
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    nginx = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        eventually(lambda: nginx.poll() is not None or _accepts(port))
        assert nginx.poll() is None, (folder / "error.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        nginx.terminate()
        nginx.wait(TIMEOUT_S)


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    with (
        server.clone() as database,
        psycopg.connect(database, autocommit=True) as connection,
        start_service(database, "group_commit") as service,
        in_front_of([service.url], tmp_path_factory.mktemp("nginx"), SMALLER) as url,
    ):
        reset_event(connection, "fixed", "E", 8000)
        yield Proxy(url, service, database, connection)


def _accepts(port):
    found = psutil.net_connections("tcp")
    return any(each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in found)


async def test_purchases_share_a_kept_upstream_connection(proxy):
    before = proxy.sold()
    for _ in range(10):
        assert (await ask(proxy.url, BUY))[0] == 200
    assert proxy.sold() == before + 80
    assert len(proxy.upstream_connections()) == 1


async def test_several_services_sell_one_event_by_rows_ranges_and_batches(
    database, connection, http, tmp_path
):
    reset_event(connection, "fixed", "E", 8 * 40)
    urls = {}
    async with AsyncExitStack() as stack:
        for name in ("ticket_rows", "range", "group_commit"):
            served = serve_sales(database, name, pool_size=4)
            urls[name] = await stack.enter_async_context(served)
        with in_front_of(urls.values(), tmp_path, {}) as url:
            answers = await asyncio.gather(*(post_purchase(http, url) for _ in range(45)))
        for name, url in urls.items():
            sold = f'ticketsvc_tickets_sold_total{{allocator="{name}"}}'
            assert (await read_metrics(http, url))[sold] > 0
    assert sorted(status for status, *_ in answers) == [200] * 40 + [409] * 5
    verdict = verdict_of(connection)
    assert (verdict.issued, verdict.clean) == (8 * 40, True)


SLOW = {"headers": HEAD[:-9], "body": BUY[:-5]}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
async def test_half_a_request_never_reaches_the_service(proxy, sent):
    before, upstream = proxy.sold(), len(proxy.upstream_connections())
    slow = await asyncio.gather(*(connect(proxy.url, sent) for _ in range(MOST_REQUESTS - 1)))
    assert (await ask(proxy.url, BUY))[0] == 200
    for reader, writer in slow:  # closed without an answer, or reset
        try:
            async with asyncio.timeout(TIMEOUT_S):
                assert b" 200 " not in await reader.read()
        except ConnectionResetError:
            pass
        writer.close()
    assert proxy.sold() == before + 8
    assert len(proxy.upstream_connections()) <= max(1, upstream)


async def test_too_many_requests_of_one_address_are_refused(proxy, http):
    with hold_pool(proxy.database):
        held = [await connect(proxy.url, BUY) for _ in range(MOST_REQUESTS)]
        await soon(lambda: _in_flight(http, proxy.service.url, MOST_REQUESTS))
        assert await _status(proxy, BUY) == 503
    assert {(await read_answer(reader))[0] for reader, _ in held} == {200}
    for _, writer in held:
        writer.close()


async def _in_flight(http, url, number):
    async with http.get(url + "/metrics") as response:
        return f"ticketsvc_purchases_in_flight {number}.0" in await response.text()


async def test_a_large_body_is_refused(proxy):
    large = HEAD.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: 65537")
    assert await _status(proxy, large + b"\r\n") == 413


async def test_a_refusal_of_the_service_passes_unchanged(proxy):
    malformed = BODY.replace(b":8}", b":7}")
    status, said, _ = await ask(proxy.url, HEAD + b"\r\n" + malformed)
    assert (status, said["code"]) == (400, "invalid_purchase")


async def _status(proxy, sent):
    reader, writer = await connect(proxy.url, sent)
    async with asyncio.timeout(TIMEOUT_S):
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])
