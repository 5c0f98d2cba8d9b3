"""A small process between its parent and a PostgreSQL server, so that no server is left behind.

Run by path, with a JSON object as only argument; standard library only, because it is
started by path and must be quick. Its standard input is the lifeline: when the parent ends,
however it ends, the pipe closes, the server is shut down and a temporary folder removed. A parent
that writes `RELEASE` first lets the server go on. On Linux the kernel shuts the server down too
if this process itself is killed. initdb is run in the same way.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1
_SHUTDOWN_TIMEOUT_S = 20
RELEASE = b"release"


def main(specification: dict[str, Any]) -> int:
    """Run the command until it ends, the lifeline closes or SIGTERM comes; return its code."""
    server = subprocess.Popen(
        specification["command"],
        stdin=subprocess.DEVNULL,
        # No thread of ours runs yet: the warning does not apply.
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        cwd=specification["folder"],
        **specification["account"],
    )
    asked = threading.Event()

    def stop() -> None:
        asked.set()
        if server.poll() is not None:
            return
        if os.name == "nt":
            stopping = [*specification["pg_ctl"], "-m", "fast", "stop"]
            if subprocess.run(stopping, check=False).returncode:
                server.terminate()  # initdb
        else:
            server.send_signal(signal.SIGINT)
        try:
            server.wait(_SHUTDOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop).start())
    threading.Thread(target=_await_end_of_parent, args=(stop,), daemon=True).start()
    code = server.wait()
    # A server that ended by itself leaves its folder: the log in it says why.
    if specification["remove"] and asked.is_set():
        shutil.rmtree(specification["folder"], ignore_errors=True)
    return code


def _die_with_parent() -> None:
    """Ask the kernel for a fast shutdown (SIGINT) when the starting thread is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _await_end_of_parent(stop: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        if os.read(0, 1024).startswith(RELEASE):
            return
    stop()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
