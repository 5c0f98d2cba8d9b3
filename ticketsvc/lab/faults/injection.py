"""Break something on purpose: a server process, its sessions, the database, a connection.

Each fault strikes a `Scene` that was made for it: real processes of ours, a PostgreSQL server of
its own. None touches a database that anybody else uses.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil
import psycopg

from ticketsvc.database.embedded import EmbeddedServer, start_again
from ticketsvc.database.roles import SERVICES
from ticketsvc.lab.faults.response_dropping_proxy import CuttingProxy
from ticketsvc.lab.faults.restarting_service import Keeper

_CUT_AT_A_TIME = 5
_LOOK_S = 0.01
_RETURN_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Scene:
    """What can be struck: the database, the services that sell from it, the way to them."""

    server: EmbeddedServer
    keepers: Sequence[Keeper]
    proxies: Sequence[CuttingProxy]
    freeze_s: float


@dataclass(frozen=True)
class Fault:
    """A way to break something. *strike* returns once what it broke can work again."""

    name: str
    strike: Callable[[Scene], None]


def _kill_server(scene: Scene) -> None:
    while not (serving := [keeper for keeper in scene.keepers if keeper.alive]):
        time.sleep(_LOOK_S)
    victim = random.choice(serving)  # noqa: S311 - any will do
    lives = victim.restarts
    victim.kill()
    deadline = time.monotonic() + _RETURN_PATIENCE_S
    while victim.restarts == lives and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _terminate_sessions(scene: Scene) -> None:
    with psycopg.connect(scene.server.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(usename, %s)",
            [SERVICES],
        )


def _crash_database(scene: Scene) -> None:
    # What `pg_ctl stop -m immediate` sends: every process ends at once, nothing is flushed.
    os.kill(scene.server.postmaster, signal.SIGQUIT)
    start_again(scene.server)


def _freeze_database(scene: Scene) -> None:
    postmaster = psutil.Process(scene.server.postmaster)
    frozen = [postmaster]
    postmaster.suspend()  # first, so that no further children come
    for child in postmaster.children(recursive=True):
        child.suspend()
        frozen.append(child)
    try:
        time.sleep(scene.freeze_s)
    finally:
        for process in reversed(frozen):
            process.resume()


def _cut_answers(scene: Scene) -> None:
    for proxy in scene.proxies:
        proxy.cut_answers(_CUT_AT_A_TIME)


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("server_kill", _kill_server),
        Fault("session_kill", _terminate_sessions),
        Fault("database_crash", _crash_database),
        Fault("database_freeze", _freeze_database),
        Fault("answer_cut", _cut_answers),
    )
}
