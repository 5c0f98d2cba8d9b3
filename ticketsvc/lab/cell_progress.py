"""How far a cell of a notebook has come; outside a notebook nothing is shown."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

_PAUSE_S = 0.5


@contextlib.contextmanager
def counted(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show below the running cell how many of *total* are done; return the function that counts.

    At the end nothing of it is left, and so no page of a report has any of it. It replaces what
    the cell has displayed before.
    """
    if not _in_notebook():
        yield lambda: None
        return
    from IPython.display import clear_output  # noqa: PLC0415 - a command needs it not

    began = shown = time.monotonic()
    done = 0

    def show() -> None:
        of = "" if total is None else f" of {total}"
        clear_output(wait=True)
        print(f"{what}: {done}{of} after {time.monotonic() - began:.0f} s")

    def count() -> None:
        nonlocal done, shown
        done += 1
        if time.monotonic() > shown + _PAUSE_S:
            shown = time.monotonic()
            show()

    show()
    try:
        yield count
    finally:
        clear_output()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
