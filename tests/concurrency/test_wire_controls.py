"""What explores through the wire finds what is there, says so when it could not see, and repeats.

Each control takes one part out, and is seen to change what is found.
"""

import sys

import pytest

from tests.support.clusters import login
from ticketsvc.lab.explore import scenario as exploring
from ticketsvc.lab.explore.scenario import explore_scenario, open_scheduler
from ticketsvc.lab.explore.scenario_transcripts import as_text
from ticketsvc.lab.explore.scheduler import Scheduler
from ticketsvc.lab.explore.strategies import Fixed
from ticketsvc.lab.explore.wire_turns import WireTurns
from ticketsvc.lab.scenarios.sandbox import open_sandbox
from ticketsvc.lab.scenarios.spec import read_scenario

SCHEMA = "CREATE TABLE stock (n int PRIMARY KEY, v int); INSERT INTO stock VALUES (1, 0);"
CLIENT = """
import psycopg

def buy(url, n):
    with psycopg.connect(url, autocommit=True) as connection:
        (seen,) = connection.execute("SELECT v FROM stock WHERE n = 1").fetchone()
        connection.execute("UPDATE stock SET v = %s WHERE n = 1", [seen + 1])
"""
SERVICE = """
import sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import psycopg

port, url, mode = int(sys.argv[1]), sys.argv[2], sys.argv[3]
mutex = threading.Lock()

def connect():
    return psycopg.connect(url, autocommit=True)

shared = connect() if mode == "pool of one" else None

def run(sql, *values):
    if shared is not None:
        with mutex:
            return shared.execute(sql, values)
    with connect() as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else None

def buy():
    (seen,), = run("SELECT v FROM stock WHERE n = 1")
    run("UPDATE stock SET v = %s WHERE n = 1", seen + 1)

def count():
    run("UPDATE stock SET v = v + 0 WHERE n = 1")

def ping():
    while True:
        time.sleep(0.005)
        run("SELECT 1")

if mode == "a timer":
    threading.Thread(target=ping, daemon=True).start()

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        if mode == "two at once":
            other = threading.Thread(target=count)
            other.start()
            buy()
            other.join()
        elif mode == "a lock elsewhere":
            with mutex:
                buy()
        elif mode == "work after the answer":
            threading.Timer(0.03, count).start()
            buy()
        elif mode == "gives up":
            if not mutex.acquire(timeout=2):
                return self.send_error(500)
            buy()
            mutex.release()
        else:
            buy()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
SCENARIO = """
[database]
schema = ["schema.sql"]
{service}
[[client]]
name = "buyer"
count = 2
{act}

[[invariant]]
name = "all counted"
sql = "SELECT v FROM stock WHERE v = 1"
"""
ALL = {"full": True, "hold_commits": False}
FOUND = (6, 2, [])
"""What there is: two statements of each client, and only in turn are both counted."""


def scenario_in(folder, mode=""):
    (folder / "schema.sql").write_text(SCHEMA)
    (folder / "shop.py").write_text(CLIENT)
    (folder / "service.py").write_text(SERVICE)
    service = (
        f'[service]\ncommand = ["{sys.executable}", "service.py", "{{port}}", "{{database_url}}", '
        f'"{mode}"]\nurl = "http://127.0.0.1:{{port}}"\n'
    )
    act = 'request = { path = "/" }' if mode else 'python = "shop:buy"'
    file = folder / "scenario.toml"
    file.write_text(SCENARIO.format(service=service if mode else "", act=act))
    return read_scenario(file)


async def found_in(server, scenario, **options):
    found = await explore_scenario(server.server.url, scenario, **options)
    return found.schedules, found.clean, found.reasons


class LetsPass(WireTurns):
    async def release(self, unit):
        return False


class TakesAnother(WireTurns):
    def opened(self, session):
        session.owner = 1 - session.owner
        super().opened(session)


@pytest.mark.parametrize("mode", ["", "as it is"], ids=["a function", "a service"])
async def test_every_schedule_is_found(server, tmp_path, mode):
    assert await found_in(server, scenario_in(tmp_path, mode), **ALL) == FOUND


@pytest.mark.parametrize("gate", [LetsPass, TakesAnother])
async def test_without_the_hold_and_with_wrong_owners_it_is_not(
    server, tmp_path, monkeypatch, gate
):
    monkeypatch.setattr(exploring, "WireTurns", gate)
    *_, reasons = found = await found_in(server, scenario_in(tmp_path), **ALL)
    assert found != FOUND
    assert reasons


async def test_a_reversed_invariant_reverses_the_counts(server, tmp_path):
    scenario = scenario_in(tmp_path)
    (rule,) = scenario.invariant
    reversed_rule = rule.model_copy(update={"sql": rule.sql.replace("= 1", "= 2")})
    wrong = scenario.model_copy(update={"invariant": (reversed_rule,)})
    assert await found_in(server, wrong, **ALL) == (6, 4, [])


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("two at once", "cannot be attributed"),
        ("a lock elsewhere", "something that PostgreSQL does not know of"),
        ("pool of one", "something that PostgreSQL does not know of"),
        ("gives up", "a time limit decided"),
        ("work after the answer", ""),
        ("a timer", ""),
    ],
)
async def test_what_cannot_be_seen_is_never_clean(server, tmp_path, monkeypatch, mode, reason):
    unseen = "PostgreSQL does not know" in reason  # the limit decides, however long it is
    monkeypatch.setattr(Scheduler, "SETTLE_S", 0.5 if unseen else 4.0)
    *_, reasons = await found_in(server, scenario_in(tmp_path, mode))
    assert len(reasons) == 1
    assert reason in reasons[0]


async def test_it_is_known_whether_the_role_may_hasten_the_search_for_deadlocks(server, tmp_path):
    scenario = scenario_in(tmp_path)
    database = scenario.database.model_copy(update={"reset": "UPDATE stock SET v = 0"})
    scenario = scenario.model_copy(update={"database": database})
    own = server.server.url
    with login(server.administration, own, "plain", "CREATEDB") as plain:
        for url, may in ((own, True), (plain, False)):
            async with open_sandbox(url, scenario) as sandbox:
                assert sandbox.searches_soon is may


async def test_a_replay_is_the_same_ten_times(server, tmp_path):
    async with open_scheduler(
        server.server.url, scenario_in(tmp_path), hold_commits=True
    ) as scheduler:
        runs = [await scheduler.run(Fixed((0, 1, 0, 0, 1, 1))) for _ in range(10)]
    assert len({as_text(run) for run in runs}) == 1
