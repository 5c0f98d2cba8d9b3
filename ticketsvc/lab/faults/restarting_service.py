"""A service that is started again whenever its process ends, as a process manager does."""

import threading

from yarl import URL

from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.services import Service, start_service

_PAUSE_S = 0.1
_POOL_SIZE = 5


class RestartingService:
    """A service that always returns on the port it had first."""

    def __init__(self, database_url: str, allocator: str) -> None:
        self._database_url = database_url
        self._allocator = allocator
        self.restarts = 0
        self._service: Service = self._start(0)
        self.url = self._service.url
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._restart, name="restarting", daemon=True)
        self._watch.start()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._service.process.poll() is None

    def kill(self) -> None:
        """Kill the process at once (SIGKILL)."""
        self._service.process.kill()

    def close(self) -> None:
        """Stop it for good, and wait until its process has ended."""
        self._closing.set()
        self._service.ask_to_stop()
        self._watch.join()
        self._service.stop()

    def _start(self, port: int) -> Service:
        return start_service(self._database_url, self._allocator, port=port, pool_size=_POOL_SIZE)

    def _restart(self) -> None:
        while not self._closing.is_set():
            self._service.process.wait()
            self._service.stop()  # its process has ended: this closes its pipes
            if self._closing.is_set():
                return
            try:
                self._service = self._start(URL(self.url).port or 0)
                self.restarts += 1
            except UsageError:  # the database may be away: try until it is back
                self._closing.wait(_PAUSE_S)
        self._service.ask_to_stop()
