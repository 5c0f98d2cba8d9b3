"""How many connections the limit of open files leaves room for."""

import contextlib

SPARE_FILES = 256  # for the database, logs, and connections that are being refused


def affordable_connections(wanted: int) -> int:
    """Return how many connections fit this process's limit of open files, at most *wanted*.

    The limit is raised first as far as the system allows. Beyond it no client could be refused
    with an answer.
    """
    try:
        import resource  # noqa: PLC0415 - Windows has none, and no such limit
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return max(1, soft - SPARE_FILES)
