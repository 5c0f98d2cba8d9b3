"""A signal waits for what must not stop halfway."""

import subprocess
import sys

PROGRAM = """
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


def test_a_postponed_signal_comes_when_the_block_has_ended() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
    assert said.stdout.splitlines() == [b"whole", b"stopped by SIGTERM"]
