"""The loss of the primary: it is killed under load, and its standby takes over."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping

import psycopg

from ticketsvc.database.embedded import DATABASE, EmbeddedServer, free_port
from ticketsvc.database.standby import start_standby
from ticketsvc.database.statements import load
from ticketsvc.lab.faults.disposable_postgres import disposable_postgres
from ticketsvc.lab.faults.faults import FAULTS, Target, wait_for

FAILOVER = "failover"
# The data of a killed primary is removed: whether it was on the disk decides nothing here.
_SETTINGS = {"fsync": "off"}


class Pair:
    """A primary, and the standby that replaces it; `url` leads to whichever takes writes."""

    def __init__(self, primary: EmbeddedServer, *, synchronous: bool) -> None:
        self.primary = primary
        self.standby: EmbeddedServer | None = None
        self.synchronous = synchronous
        self._spare_port = free_port()
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{self._spare_port}"
        login = f"postgres:{primary.password}"
        self.url = f"postgresql://{login}@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def add_standby(self, target: Target) -> None:
        """Start a standby, and return when each commit waits for it.

        Not *synchronous*: return when it has stopped receiving, as one that lags. So what is sold
        from now on is lost in each run, not by luck.
        """
        standby = start_standby(self.primary, port=self._spare_port)
        self.standby = standby
        wait_for(target, lambda: _ask(self.primary, "streaming"))
        if self.synchronous:
            _configure(self.primary, "wait_for_standby")
            wait_for(target, lambda: _ask(self.primary, "waited_for"))
        else:
            _configure(standby, "stop_receiving")
            wait_for(target, lambda: _ask(self.primary, "alone"))

    def fail_over(self, target: Target) -> None:
        """Kill the primary for good, and return when the standby takes writes.

        Nothing in an address keeps an old primary from coming back: its data is removed first.
        """
        killed, standby = self.primary, self.standby
        assert standby is not None and killed.process is not None  # noqa: S101
        os.kill(killed.postmaster, signal.SIGQUIT)  # every process ends at once
        killed.process.wait()
        killed.stop()
        _ask(standby, "promote")
        wait_for(target, lambda: _ask(standby, "promoted"))
        self.primary, self.standby, self._spare_port = standby, None, killed.port

    def stop(self) -> None:
        """Stop both."""
        for server in (self.standby, self.primary):
            if server is not None:
                server.stop()


@contextlib.contextmanager
def disposable_pair(*, synchronous: bool) -> Iterator[Pair]:
    """Run a primary that gets a standby before each failover; remove both at the end."""
    with disposable_postgres(_SETTINGS) as primary:
        pair = Pair(primary, synchronous=synchronous)
        try:
            yield pair
        finally:
            pair.stop()


def _fail_over(target: Target) -> None:
    assert target.pair is not None  # noqa: S101 - for the type checker
    target.pair.add_standby(target)
    sold = target.sold()
    # More than there are buyers: so some were asked for and answered since.
    wait_for(target, lambda: target.sold() > sold + 2 * target.experiment.buyers)
    target.pair.fail_over(target)


def _ask(server: EmbeddedServer, name: str) -> bool:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(load("standby")[name].query).fetchone()
    return row is not None and bool(row[0])


def _configure(server: EmbeddedServer, name: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(load("standby")[name].query)
    _ask(server, "read_configuration")


KINDS: Mapping[str, Callable[[Target], None]] = {**FAULTS, FAILOVER: _fail_over}
"""All faults: those of one server, and the failover of two."""
