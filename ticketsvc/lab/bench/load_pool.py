"""Fire with processes of our own, where wrk is not installed: start them together, sum them up."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.figures import Fired, percentile
from ticketsvc.lab.bench.load_spec import Shot


def processes() -> int:
    """Return how many are started at the most: half the processors, two at least, four at most."""
    return min(4, max(2, (os.cpu_count() or 2) // 2))


def fire(shot: Shot, *, most_processes: int | None = None) -> Fired:
    """Share the connections among processes, let them begin together, and add up what they say.

    Raise `UsageError` when one of them ends without a word.
    """
    children = [_spawn() for _ in range(min(most_processes or processes(), shot.connections))]
    try:
        for share, child in zip(shares(shot, len(children)), children, strict=True):
            _tell(child, json.dumps(share))
        for child in children:
            _hear(child)  # its connections are open
        for child in children:
            _tell(child, "go")
        return add_up([json.loads(_hear(child)) for child in children])
    finally:
        for child in children:
            child.kill()  # of one that has spoken nothing is left to do
            child.communicate()


def shares(shot: Shot, parts: int) -> list[dict[str, Any]]:
    """Cut *shot* into that many, as even as can be; each begins at another event."""
    whole = asdict(shot) | {"bodies": shot.bodies()}
    del whole["events"]
    bodies = whole["bodies"]
    return [
        whole
        | {
            "connections": _even(shot.connections, parts, part),
            "limit": None if shot.limit is None else _even(shot.limit, parts, part),
            "bodies": bodies[part * len(bodies) // parts :] + bodies[: part * len(bodies) // parts],
        }
        for part in range(parts)
    ]


def add_up(told: Sequence[dict[str, Any]]) -> Fired:
    """Return what all of them counted; the latencies of all together make the percentiles."""
    counts = {
        name: sum(one[name] for one in told)
        for name in ("sold", "late", "refused", "failed", "in_flight")
    }
    latencies = sorted(latency for one in told for latency in one["latencies_us"])
    percentiles: dict[str, Any] = {
        f"p{share}_ms": None if at is None else at / 1000
        for share in (50, 95, 99)
        for at in [percentile(latencies, share / 100)]
    }
    return Fired(seconds=max(one["seconds"] for one in told), **counts, **percentiles)


def _even(whole: int, parts: int, part: int) -> int:
    return (part + 1) * whole // parts - part * whole // parts


def _spawn() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ticketsvc.lab.bench.load_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us, and we end them
    )


def _tell(child: "subprocess.Popen[str]", line: str) -> None:
    assert child.stdin  # noqa: S101 - for the type checker
    try:
        child.stdin.write(line + "\n")
        child.stdin.flush()
    except OSError:
        raise UsageError("the load generator ended too early") from None


def _hear(child: "subprocess.Popen[str]") -> str:
    assert child.stdout  # noqa: S101 - for the type checker
    assert child.stderr  # noqa: S101 - for the type checker
    line = child.stdout.readline()
    if not line:
        words = child.stderr.read().strip().splitlines() or ["no reason given"]
        raise UsageError(f"the load generator failed: {words[-1]}")
    return line
