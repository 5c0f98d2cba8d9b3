"""The record of a run: each attempt, what was asked and what was answered."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ticketsvc.errors import UsageError

Outcome = Literal["ok", "refused", "failed", "unknown"]
"""ok: answered 2xx, sold. refused: any other answer. failed: never sent. unknown: sent, no
answer; it may have happened."""


_TEMPORARY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class Attempt:
    """One request sent for one purchase, and how it ended.

    Times are seconds on the system-wide monotonic clock.
    """

    purchase: str
    url: str
    user: str
    event: str
    quantity: int
    sent_s: float
    answered_s: float
    outcome: Outcome
    status: int | None = None
    tickets: tuple[int, ...] = ()
    message: str = ""
    key: str | None = None

    @property
    def decided(self) -> bool:
        """Whether its answer settles the purchase: sold, or refused for good (4xx)."""
        for_good = 400 <= (self.status or 0) < 500 and self.status not in _TEMPORARY
        return self.outcome == "ok" or (self.outcome == "refused" and for_good)


_ATTEMPT = TypeAdapter(Attempt)


def outcome_of(tries: Sequence[Attempt]) -> Outcome:
    """Return the outcome of one purchase from all attempts at it, in the order they were sent.

    Sold once is sold. Unanswered once may have been sold, unless a later answer under the same key
    settles it.
    """
    outcomes = {attempt.outcome for attempt in tries}
    if "ok" in outcomes:
        return "ok"
    last = tries[-1]
    if last.decided and last.key is not None and len({attempt.key for attempt in tries}) == 1:
        return last.outcome
    if "unknown" in outcomes:
        return "unknown"
    return "refused" if "refused" in outcomes else "failed"


def by_purchase(history: Iterable[Attempt]) -> list[list[Attempt]]:
    """Return the attempts by purchase, those of each in the order they were sent."""
    gathered: dict[tuple[str, str], list[Attempt]] = {}
    for one in history:
        gathered.setdefault((one.user, one.purchase), []).append(one)
    return [sorted(tries, key=lambda one: one.sent_s) for tries in gathered.values()]


def summarise(history: Sequence[Attempt]) -> dict[str, Any]:
    """Count the outcomes of purchases, and the ticket numbers in the answers.

    Numbers are counted per event: `tickets` in all, `unique` different ones, `duplicates` the
    rest. `retried` counts the outcomes of purchases that were sent again.
    """
    purchases = by_purchase(history)
    outcomes = Counter(map(outcome_of, purchases))
    retried = Counter(outcome_of(tries) for tries in purchases if len(tries) > 1)
    numbers = [(attempt.event, number) for attempt in history for number in attempt.tickets]
    unique = len(set(numbers))
    statuses = Counter(str(attempt.status) for attempt in history if attempt.status is not None)
    return {
        "purchases": len(purchases),
        "successes": outcomes["ok"],
        "refused": outcomes["refused"],
        "failed": outcomes["failed"],
        "unknown": outcomes["unknown"],
        "tickets": len(numbers),
        "unique": unique,
        "duplicates": len(numbers) - unique,
        "retried": dict(sorted(retried.items())),
        "statuses": dict(sorted(statuses.items())),
    }


@contextlib.contextmanager
def recording(file: Path) -> Iterator[Callable[[Attempt], object]]:
    """Return the function that writes an attempt to *file*, one JSON object per line, at once.

    The file is opened before the first purchase: what is written survives however the run ends.
    Raise `UsageError` when it cannot be opened.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        out = file.open("w", buffering=1)
    except OSError as problem:
        raise UsageError(f"--history {file}: {problem.strerror}") from None
    with out:
        yield lambda attempt: print(json.dumps(asdict(attempt)), file=out)


def read_history(file: Path) -> list[Attempt]:
    """Read what `recording` wrote; raise `UsageError` that names the line that is none."""
    history = []
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"history {file}: cannot be read: {problem}") from None
    for number, line in enumerate(lines, start=1):
        try:
            history.append(_ATTEMPT.validate_json(line, strict=True))
        except ValidationError as problem:
            fault = problem.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise UsageError(
                f"history {file}, line {number}: not an attempt of a run: {where} {fault['msg']}"
            ) from None
    return history
