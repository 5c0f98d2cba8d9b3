"""Keep a service running: start it anew when it ends, as a process manager does."""

import contextlib
import threading

from yarl import URL

from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.services import Service, start_service


class Keeper:
    """A service that always comes back, on the port that it had first."""

    def __init__(self, database_url: str, allocator: str, *, pool_size: int = 5) -> None:
        self._database_url = database_url
        self._allocator = allocator
        self._pool_size = pool_size
        self.restarts = 0
        self._service: Service = self._start(0)
        self.url = self._service.url
        self._ending = threading.Event()
        self._watch = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._watch.start()

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._service.process.poll() is None

    def kill(self) -> None:
        """Kill the process at once (SIGKILL)."""
        self._service.process.kill()

    def _start(self, port: int) -> Service:
        return start_service(
            self._database_url, self._allocator, port=port, pool_size=self._pool_size
        )

    def close(self) -> None:
        """Stop it for good, and wait until it is gone."""
        self._ending.set()
        self._service.ask_to_stop()
        self._watch.join()
        self._service.stop()

    def _keep(self) -> None:
        while True:
            self._service.process.wait()
            if self._ending.is_set():
                return
            self._service.stop()  # gone already: closes what we hold of it
            while not self._ending.is_set():
                # Without a database it does not start: as often as it takes.
                with contextlib.suppress(UsageError):
                    self._service = self._start(URL(self.url).port or 0)
                    self.restarts += 1
                    break
                self._ending.wait(0.1)
            if self._ending.is_set():
                self._service.ask_to_stop()
