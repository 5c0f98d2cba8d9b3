"""Record when each statement ran and what it read, for timelines of real runs."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from psycopg import AsyncCursor

from ticketsvc.errors import UsageError

_purchase: ContextVar[str | None] = ContextVar("purchase", default=None)

Recorder = Callable[[Mapping[str, object]], object]


@contextlib.contextmanager
def tracing_purchase(purchase: str) -> Iterator[None]:
    """Attribute the statements inside the block to *purchase*."""
    token = _purchase.set(purchase)
    try:
        yield
    finally:
        _purchase.reset(token)


def traced_purchase() -> str | None:
    """Return the purchase that statements are attributed to here, or None."""
    return _purchase.get()


@contextlib.contextmanager
def write_lines(file: Path) -> Iterator[Recorder]:
    """Return a recorder that appends one JSON object per statement to *file*.

    Raise `UsageError` when it cannot be written.
    """
    try:
        out = file.open("a", buffering=1)
    except OSError as problem:
        raise UsageError(f"--trace {file}: {problem.strerror}") from None
    with out:
        yield lambda step: print(json.dumps(step), file=out)


def traced_cursor(record: Recorder) -> type[AsyncCursor[Any]]:
    """Return a cursor class that reports each statement to *record*.

    Reported: purchase, statement (its text), parameters, began_s and ended_s (seconds on the
    system-wide monotonic clock), rows (affected or returned), first (the first row) and
    error (SQLSTATE).
    """

    class TracedCursor(AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
            purchase = _purchase.get()
            if purchase is None:
                return await super().execute(query, params, **options)
            began = time.monotonic()
            error, first = None, None
            try:
                await super().execute(query, params, **options)
                if self.description:
                    row = await self.fetchone()
                    first = list(row) if row else None
                    await self.scroll(0, mode="absolute")
            except Exception as problem:
                error = getattr(problem, "sqlstate", None) or type(problem).__name__
                raise
            finally:
                record(
                    {
                        "purchase": purchase,
                        "statement": query.decode() if isinstance(query, bytes) else str(query),
                        "parameters": params,
                        "began_s": began,
                        "ended_s": time.monotonic(),
                        "rows": self.rowcount,
                        "first": first,
                        "error": error,
                    }
                )
            return self

    return TracedCursor
