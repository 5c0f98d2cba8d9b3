"""An address with several hosts: of the server that takes writes, and of its standby."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.buying import get_status, post_purchase
from tests.support.clusters import SETTINGS
from ticketsvc.database.embedded import free_port
from ticketsvc.database.locate import check_server
from ticketsvc.database.scratch import scratch_database
from ticketsvc.database.standby import start_standby
from ticketsvc.errors import NoDatabase
from ticketsvc.lab.faults.disposable_postgres import disposable_postgres, make_event


def several(url, *ports):
    hosts = {"host": ",".join("127.0.0.1" for _ in ports), "port": ",".join(map(str, ports))}
    return make_conninfo(url, **hosts, target_session_attrs="read-write")


async def test_the_service_sells_again_once_the_standby_is_promoted(serve, http, soon):
    with disposable_postgres(SETTINGS) as primary, start_standby(primary) as standby:
        make_event(primary.url, "E")
        service = serve(several(primary.url, standby.port, primary.port), "group_commit")

        async def readiness():
            return await get_status(http, service.url + "/readyz")

        async def sells():
            return (await post_purchase(http, service.url))[0] == 200

        assert (await readiness(), await sells()) == (200, True)
        primary.stop()
        assert await readiness() == 503
        with psycopg.connect(standby.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        await soon(sells)
        assert await readiness() == 200


def test_a_command_takes_the_host_that_answers(database):
    address = several(database, free_port(), conninfo_to_dict(database)["port"])
    assert check_server(address) == address
    with scratch_database(address, "bench") as scratch:
        assert conninfo_to_dict(scratch)["port"] == conninfo_to_dict(database)["port"]


def test_each_host_that_does_not_answer_is_named(database):
    ports = sorted({free_port(), free_port()})
    with pytest.raises(NoDatabase) as refused:
        check_server(several(database, *ports))
    assert all(f"port {port} failed" in str(refused.value) for port in ports)
