"""A connection that reports a commit which its synchronous standby did not confirm as an error."""

from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import Diagnostic


class UnconfirmedCommit(psycopg.OperationalError):
    """A commit is on this server, and perhaps not on the standby: a failover may lose it."""


class ConfirmingConnection(AsyncConnection[Any]):
    """Raise `UnconfirmedCommit` for a commit whose wait for a synchronous standby was cancelled.

    PostgreSQL reports success for it, and a warning.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unconfirmed = False
        self.add_notice_handler(self._read_notice)

    def _read_notice(self, notice: Diagnostic) -> None:
        self._unconfirmed |= says_unconfirmed(notice)

    async def wait(self, *args: Any, **options: Any) -> Any:
        """Run what is sent, as psycopg does: each statement, and each commit."""
        self._unconfirmed = False
        result = await super().wait(*args, **options)
        if self._unconfirmed:
            raise UnconfirmedCommit("the commit was not confirmed by the standby")
        return result


def says_unconfirmed(notice: Diagnostic) -> bool:
    """Tell whether *notice* says that the wait for a standby ended without its confirmation.

    PostgreSQL translates the text and gives it the SQLSTATE of any warning (01000). The function
    that reports it is the same in every language and version.
    """
    return notice.source_function == "SyncRepWaitForLSN"
