"""A lock in the memory of several processes: each process has its own."""

import contextlib
import subprocess
import sys

_PROGRAM = """
import sys, threading
print(threading.Lock().acquire(blocking=False), flush=True)
sys.stdin.read()
"""


def take_locks_in_memory(processes: int) -> list[bool]:
    """Return which of as many *processes* got the lock of one program that all of them run."""
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(processes)
        ]
        return [one.stdout is not None and one.stdout.readline() == "True\n" for one in started]
