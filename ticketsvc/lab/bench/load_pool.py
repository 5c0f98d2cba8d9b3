"""Generate load with worker processes: start them once, run one load after the other."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.load_spec import LoadResult, LoadSpec
from ticketsvc.lab.bench.summary import percentile

_COUNTED = ("sold", "late", "refused", "failed", "in_flight")


def worker_count() -> int:
    """Return how many workers a pool has: half the processors, at least two, at most four."""
    return min(4, max(2, (os.cpu_count() or 2) // 2))


class LoadPool:
    """Worker processes that generate load together."""

    def __init__(self, workers: "Sequence[subprocess.Popen[str]]") -> None:
        self._workers = workers

    def run(self, spec: LoadSpec) -> LoadResult:
        """Share *spec* among the workers, start them together, and return their sum.

        Raise `UsageError` when a worker ends early.
        """
        workers = self._workers[: spec.connections]
        for share, worker in zip(split(spec, len(workers)), workers, strict=True):
            _send(worker, json.dumps(asdict(share)))
        for worker in workers:
            _receive(worker)  # its connections are open
        for worker in workers:
            _send(worker, "go")
        return add_up([json.loads(_receive(worker)) for worker in workers])


@contextlib.contextmanager
def load_pool() -> Iterator[LoadPool]:
    """Start the workers; kill them at the end."""
    with contextlib.ExitStack() as stack:
        workers = []
        for _ in range(worker_count()):
            worker = subprocess.Popen(
                [sys.executable, "-m", "ticketsvc.lab.bench.load_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C reaches this process, which ends its workers
            )
            stack.callback(worker.communicate)
            stack.callback(worker.kill)
            workers.append(worker)
        yield LoadPool(workers)


def split(spec: LoadSpec, parts: int) -> list[LoadSpec]:
    """Split *spec* as evenly as possible; each part begins with another event."""
    events = spec.events
    return [
        replace(
            spec,
            connections=_even(spec.connections, parts, part),
            limit=None if spec.limit is None else _even(spec.limit, parts, part),
            events=events[part * len(events) // parts :] + events[: part * len(events) // parts],
        )
        for part in range(parts)
    ]


def add_up(counted: Sequence[dict[str, Any]]) -> LoadResult:
    """Return the sum of what the workers counted, and percentiles of all latencies."""
    latencies = sorted(latency for one in counted for latency in one["latencies_ms"])
    return LoadResult(
        **{name: sum(one[name] for one in counted) for name in _COUNTED},
        seconds=max(one["seconds"] for one in counted),
        p50_ms=percentile(latencies, 0.50),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
    )


def _even(whole: int, parts: int, part: int) -> int:
    return (part + 1) * whole // parts - part * whole // parts


def _send(worker: "subprocess.Popen[str]", line: str) -> None:
    assert worker.stdin  # noqa: S101 - for the type checker
    try:
        worker.stdin.write(line + "\n")
        worker.stdin.flush()
    except OSError:
        raise UsageError("a load worker ended too early") from None


def _receive(worker: "subprocess.Popen[str]") -> str:
    assert worker.stdout  # noqa: S101 - for the type checker
    assert worker.stderr  # noqa: S101 - for the type checker
    line = worker.stdout.readline()
    if not line:
        words = worker.stderr.read().strip().splitlines() or ["no reason given"]
        raise UsageError(f"a load worker failed: {words[-1]}")
    return line
