"""The configuration of Patroni in docs/deploy.md, for two nodes here: the leader is killed."""

import asyncio
import os
import signal
import subprocess
from contextlib import ExitStack, suppress

import psycopg
import pytest

from tests.support.clusters import system_binaries
from tests.support.ledgers import verdict_of
from tests.support.programs import configuration, missing, require_program
from tests.support.waiting import TIMEOUT_S, eventually, soon
from ticketsvc.database.binaries import server_account
from ticketsvc.database.embedded import free_port
from ticketsvc.database.schemas import ensure_schemas
from ticketsvc.database.seeding import MAX_TOTAL, reset_event
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload


class Nodes:
    """An etcd, and two nodes of Patroni; `url` leads to the one that takes writes."""

    def __init__(self, folder, stack):
        self._folder, self._stack = folder, stack
        self._account = server_account()
        self._binaries = next(reversed(system_binaries().values()), None)
        if self._binaries is None:
            missing("not installed: a PostgreSQL of the system")
        self._account.own(folder)
        self.ports = [free_port() for _ in range(2)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        login = "postgres:change-me"
        self.url = f"postgresql://{login}@{hosts}/postgres?target_session_attrs=read-write"
        peer, etcd = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self._start(
            *(require_program("etcd"), "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
            *(f"--{what}-client-urls=http://{etcd}" for what in ("listen", "advertise")),
            *(f"--{what}-peer-urls=http://{peer}" for what in ("listen", "initial-advertise")),
            f"--initial-cluster=default=http://{peer}",
        )
        self.processes = {port: self._start_node(port, etcd) for port in self.ports}

    def _start(self, program, *arguments):
        running = subprocess.Popen(
            [program, *arguments],
            **self._account.popen_arguments(),
            env={**os.environ, "HOME": str(self._folder)},  # Patroni writes passwords there
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(running.wait, TIMEOUT_S)
        self._stack.callback(running.terminate)
        return running

    def _start_node(self, port, etcd):
        changes = {
            "name: db1": f"name: node{port}",
            "0.0.0.0:8008": (api := f"127.0.0.1:{free_port()}"),
            "db1.example:8008": api,
            "etcd1.example:2379,etcd2.example:2379,etcd3.example:2379": etcd,
            "ttl: 30": "ttl: 5",
            "loop_wait: 10": "loop_wait: 1",
            "retry_timeout: 10": "retry_timeout: 3",
            "10.0.0.0/8": "127.0.0.1/32",
            "0.0.0.0:5432": f"127.0.0.1:{port}",
            "db1.example:5432": f"127.0.0.1:{port}",
            "/var/lib/postgresql/tickets": f"{self._folder}/{port}",
            "/usr/lib/postgresql/15/bin": f"{self._binaries}\n  parameters: "
            f"{{fsync: 'off', unix_socket_directories: '{self._folder}'}}",
            "mode: automatic": "mode: 'off'",
        }
        file = self._folder / f"{port}.yml"
        file.write_text(configuration("patroni.yml", changes))
        return self._start(require_program("patroni"), file)

    def leader(self):
        """Return the port of the node that takes writes and has a synchronous standby; or None."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url) as connection:
            followed = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            if connection.execute(followed).rowcount:
                return connection.info.port
        return None

    def kill(self, port):
        """End a node's Patroni and PostgreSQL at once."""
        self.processes[port].kill()
        postmaster, *_ = (self._folder / str(port) / "postmaster.pid").read_text().split()
        os.kill(int(postmaster), signal.SIGQUIT)


@pytest.fixture
def nodes(open_folder):
    with ExitStack() as stack:
        yield Nodes(open_folder, stack)


async def test_the_standby_sells_on_when_the_leader_is_killed(nodes, serve):
    killed = eventually(nodes.leader)
    with psycopg.connect(nodes.url, autocommit=True) as connection:
        ensure_schemas(connection)
        reset_event(connection, "fixed", "E", MAX_TOTAL)
    service = serve(nodes.url, "group_commit")
    answers, done = [], False
    workload = Workload(
        "E", purchases=10**6, concurrency=4, keys=True, retry_s=TIMEOUT_S, retry_unavailable=True
    )
    selling = asyncio.create_task(
        run_workload([service.url], workload, on_answer=answers.append, enough=lambda: done)
    )
    await soon(lambda: len(answers) > 20)
    nodes.kill(killed)
    await soon(lambda: promoted(nodes, killed))
    before = len(answers)
    await soon(lambda: any(one.outcome == "ok" for one in answers[before:]))
    done = True
    history = await selling
    with psycopg.connect(nodes.url) as connection:
        assert connection.info.port != killed
        verdict = verdict_of(connection, history=history)
    assert verdict.clean, verdict.violations


def promoted(nodes, killed):
    with suppress(psycopg.OperationalError), psycopg.connect(nodes.url) as connection:
        return connection.info.port != killed
    return False
