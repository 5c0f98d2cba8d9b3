"""The faults that can be injected: into a server process, its sessions, the database, an answer.

Each fault breaks a `Target` that was made for it: server processes and a PostgreSQL server that
nobody else uses.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import psycopg

from ticketsvc.database.embedded import EmbeddedServer, start_again
from ticketsvc.database.roles import SERVICES
from ticketsvc.database.statements import load
from ticketsvc.errors import TicketsvcError
from ticketsvc.lab.faults.records import FaultExperiment
from ticketsvc.lab.faults.response_dropping_proxy import ResponseDroppingProxy
from ticketsvc.lab.faults.restarting_service import RestartingService

if TYPE_CHECKING:
    from ticketsvc.lab.faults.failover import Pair

_DROPS_AT_A_TIME = 5
_POLL_S = 0.01
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Target:
    """What can be broken: the database, the services that sell from it, the proxies before them.

    *abandoned*: set when the experiment ends early; a fault then waits for nothing more. *sold*
    returns how many purchases are sold by now. *pair*: the database and its standby, for a
    failover.
    """

    experiment: FaultExperiment
    server: EmbeddedServer
    services: Sequence[RestartingService]
    proxies: Sequence[ResponseDroppingProxy]
    abandoned: threading.Event
    sold: Callable[[], int]
    pair: "Pair | None" = None


def _kill_server(target: Target) -> None:
    victim = random.choice(target.services)  # noqa: S311 - any will do
    wait_for(target, lambda: victim.alive)
    restarts = victim.restarts
    victim.kill()
    wait_for(target, lambda: victim.restarts > restarts)


def _terminate_sessions(target: Target) -> None:
    with psycopg.connect(target.server.url, autocommit=True) as connection:
        connection.execute(load("faults")["terminate_sessions"].query, {"prefix": SERVICES})


def _crash_database(target: Target) -> None:
    # The signal of `pg_ctl stop -m immediate`: every process ends at once, nothing is flushed.
    os.kill(target.server.postmaster, signal.SIGQUIT)
    start_again(target.server)


def _freeze_database(target: Target) -> None:
    postmaster = psutil.Process(target.server.postmaster)
    frozen = [postmaster]
    try:
        postmaster.suspend()  # first, so that it starts no further processes
        for child in postmaster.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                child.suspend()
                frozen.append(child)
        target.abandoned.wait(target.experiment.freeze_s)
    finally:
        for process in reversed(frozen):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def _drop_answers(target: Target) -> None:
    for proxy in target.proxies:
        proxy.drop_answers(_DROPS_AT_A_TIME)
    wait_for(target, lambda: not any(proxy.drops_left for proxy in target.proxies))


def wait_for(target: Target, condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds; raise `TicketsvcError` when it does not within a minute."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not (condition() or target.abandoned.is_set()):
        if time.monotonic() > deadline:
            raise TicketsvcError(f"a fault had no end within {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


FAULTS: Mapping[str, Callable[[Target], None]] = {
    "server_kill": _kill_server,
    "session_kill": _terminate_sessions,
    "database_crash": _crash_database,
    "database_freeze": _freeze_database,
    "answer_dropped": _drop_answers,
}
"""Each breaks something of a `Target`, and returns once the broken part can work again."""
