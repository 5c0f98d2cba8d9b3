"""A signal waits for what must not stop halfway, and is not lost in a destructor."""

import subprocess
import sys

import pytest

WHOLE = """
import signal
from ticketsvc import interrupts

interrupts.install()
try:
    with interrupts.postponed():
        signal.raise_signal(signal.SIGTERM)
        print("whole")
    print("went on")
except interrupts.Interrupted as signalled:
    print(signalled)
"""
IN_A_DESTRUCTOR = """
import signal, threading
from ticketsvc import interrupts

class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

interrupts.install()
try:
    Dying()
    print("went on")
    threading.Event().wait(60)
    print("lost")
except interrupts.Interrupted as signalled:
    print(signalled)
"""


@pytest.mark.parametrize(
    ("program", "printed"), [(WHOLE, "whole"), (IN_A_DESTRUCTOR, "went on")], ids=["block", "del"]
)
def test_a_signal_comes_once_it_can(program: str, printed: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == [printed, "stopped by SIGTERM"]
    assert ended.stderr == ""
