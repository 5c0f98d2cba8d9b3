"""Several server processes behind one address: started, counted and ended as one."""

import asyncio
import json
import os
import signal
import subprocess

import psutil
import pytest
from yarl import URL

from tests.support.buying import BODY, read_metrics
from tests.support.commands import start_command
from tests.support.ledgers import verdict_of
from tests.support.locks import blocked_by, hold_pool
from tests.support.processes import gone
from tests.support.waiting import eventually, soon
from ticketsvc.database.roles import as_service
from ticketsvc.database.seeding import reset_event
from ticketsvc.lab.workload.burst import run_workload
from ticketsvc.lab.workload.plan import Workload

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot share a port")


class Crew:
    """A parent and its workers; none of them outlives the test."""

    def __init__(self, database, *options, temporary=None):
        self.parent = start_command(
            *("serve", "--json", "--workers", "2", "--port", "0", "--pool-size", "2"),
            *("--no-access-log", *options),
            DATABASE_URL=as_service(database),
            **({"TMPDIR": str(temporary)} if temporary else {}),
        )
        facts = json.loads(self.parent.stdout.readline())
        self.url = facts["url"]
        self.workers = [psutil.Process(pid) for pid in facts["workers"]]

    def all_gone(self):
        return gone(self.workers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Not killed at once: a killed process leaves the folder of the counters to the others.
        self.parent.terminate()
        try:
            self.parent.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.parent.kill()
            self.parent.communicate()
        for each in self.workers:
            if each.is_running():
                each.kill()


async def buy_often(http, url, purchases):
    async def buy():
        # A connection each, so that the system spreads them over the workers.
        async with http.post(
            url + "/purchase", json=BODY, headers={"Connection": "close"}
        ) as answer:
            return answer.status

    return await asyncio.gather(*(buy() for _ in range(purchases)))


async def test_they_sell_as_one_and_count_as_one_and_end_as_one(
    database, connection, http, cli, tmp_path
):
    reset_event(connection, "fixed", "E", 8 * 150)
    with Crew(database, temporary=tmp_path) as crew:
        codes = await buy_often(http, crew.url, 200)
        assert (codes.count(200), codes.count(409)) == (150, 50)
        for _ in range(5):  # whichever answers
            counted = await read_metrics(http, crew.url)
            outcome = 'ticketsvc_purchases_total{allocator="group_commit",outcome="%s"}'
            assert (counted[outcome % "sold"], counted[outcome % "sold_out"]) == (150, 50)
            assert counted['ticketsvc_tickets_sold_total{allocator="group_commit"}'] == 1200

        async def pools_are_added_up():
            return (await read_metrics(http, crew.url))['ticketsvc_pool{what="size"}'] == 4

        await soon(pools_are_added_up)
        used = (
            "SELECT count(*) > 2 FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()"
        )
        assert connection.execute(used, ["ticketsvc"]).fetchone()[0]
        port = str(URL(crew.url).port)  # is shared with nobody else
        more = ("serve", "--workers", "2", "--port", port)
        refused = await asyncio.to_thread(cli, *more, DATABASE_URL=database)
        assert refused.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
        connection.execute("UPDATE fixed.ticket_pools SET total = total + 8, available = 8")
        async with asyncio.TaskGroup() as group:
            with hold_pool(database) as holder:
                purchase = group.create_task(buy_often(http, crew.url, 1))
                await soon(lambda: blocked_by(connection, holder))
                crew.parent.send_signal(signal.SIGINT)
            assert await purchase == [200]
        _, words = await asyncio.to_thread(crew.parent.communicate, timeout=60)
        assert (crew.parent.returncode, words) == (0, "")
        assert crew.all_gone()
    verdict = verdict_of(connection)
    assert (verdict.issued, verdict.clean) == (1208, True)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_the_parent_is_killed(database, tmp_path):
    with Crew(database, temporary=tmp_path) as crew:
        assert len(list(tmp_path.glob("ticketsvc-metrics-*"))) == 1
        crew.parent.kill()
        eventually(crew.all_gone)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_does_not_stop_is_killed(monkeypatch, database):
    monkeypatch.setenv("TICKETSVC_SHUTDOWN_TIMEOUT_S", "0.1")
    with Crew(database) as crew:
        stuck, _ = crew.workers
        stuck.suspend()
        crew.parent.terminate()
        _, words = crew.parent.communicate(timeout=60)
        assert crew.parent.returncode == 0
        assert f"worker {stuck.pid} did not stop in time: killed" in words
        assert crew.all_gone()


def test_a_signal_while_workers_start_ends_them(database):
    """None is waited for: one that is held before its first line would wait for ever."""
    parent = start_command(
        *("serve", "--workers", "2", "--port", "0"),
        DATABASE_URL=database,
        TICKETSVC_SHUTDOWN_TIMEOUT_S="0.1",
    )

    def started():
        found = psutil.Process(parent.pid).children()
        # Until then they are copies of the parent, which waits for them to become something else.
        return len(found) == 2 and all("--share-port" in each.cmdline() for each in found) and found

    workers = eventually(started)
    for each in workers:
        each.suspend()
    parent.terminate()
    said, _ = parent.communicate(timeout=60)
    assert (parent.returncode, said) == (0, "")
    assert not any(each.is_running() for each in workers)


async def test_a_worker_that_is_killed_while_all_sell_ends_all_and_loses_no_sale(
    database, connection
):
    reset_event(connection, "fixed", "E", 800)
    waiting = "SELECT FROM pg_locks WHERE NOT granted"  # the second one waits for the first
    with Crew(database) as crew:
        with hold_pool(database):
            selling = asyncio.create_task(run_workload([crew.url], Workload("E", purchases=20)))
            await soon(lambda: connection.execute(waiting).rowcount == len(crew.workers))
            victim, other = crew.workers
            victim.kill()
            await soon(lambda: gone([victim]))
        history = await selling
        _, words = await asyncio.to_thread(crew.parent.communicate, timeout=60)
        assert crew.parent.returncode == 2
        assert f"worker {victim.pid} ended unexpectedly (signal 9)" in words
        assert not other.is_running()
    assert {attempt.outcome for attempt in history} >= {"ok", "unknown"}
    verdict = verdict_of(connection, history=history)
    assert verdict.clean, verdict.violations
