"""An address with several hosts. A service with one sells on after a failover: test_faults."""

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketsvc.database.embedded import free_port
from ticketsvc.database.locate import check_server
from ticketsvc.database.scratch import scratch_database
from ticketsvc.errors import NoDatabase


def several(url, *ports):
    hosts = {"host": ",".join("127.0.0.1" for _ in ports), "port": ",".join(map(str, ports))}
    return make_conninfo(url, **hosts, target_session_attrs="read-write")


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
