"""Processes: who is below whom, and who is gone."""

import psutil


def family(pid):
    """Return the process *pid* and every process below it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def gone(processes):
    """Tell whether none of *processes* runs. A zombie does not run."""
    return not any(map(_runs, processes))


def _runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
