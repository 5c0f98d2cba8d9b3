"""How far a run of notebooks has come, and how long it may still take."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ticketsvc.lab.report.executed import find_title
from ticketsvc.lab.report.notebooks import read_notebook, shares_machine
from ticketsvc.lab.report.results import NotebookResult, in_words

State = Literal["running", "interrupted", "finished"]

# Seconds alone on two processors, for the first run; a later one goes by what each took before.
FIRST_ESTIMATES_S = {
    "01-seed": 5,
    "02-reproduce": 12,
    "03-root-cause": 19,
    "04-the-fix": 28,
    "05-several-instances": 12,
    "06-write-volume": 12,
    "07-which-schedules": 40,
    "08-throughput": 28,
    "09-what-survives": 28,
    "10-is-it-in-your-service": 11,
    "11-more-than-one-machine": 7,
}
_OTHER_ESTIMATE_S = 15


class Progress:
    """The notebooks of one run: those that have ended, those that run, those that wait."""

    def __init__(self, notebooks: Sequence[Path], typical_s: Mapping[str, float]) -> None:
        self.titles = {
            notebook.stem: find_title(read_notebook(notebook)) or notebook.stem
            for notebook in notebooks
        }
        self.waiting = [notebook.stem for notebook in notebooks]
        self.running: dict[str, float] = {}
        """When each began, on the monotonic clock."""
        self.results: list[NotebookResult] = []
        self.interrupted = False
        self._typical_s = typical_s
        self.sharing = {notebook.stem for notebook in notebooks if shares_machine(notebook)}

    @property
    def total(self) -> int:
        """The number of notebooks in this run."""
        return len(self.titles)

    @property
    def state(self) -> State:
        """Whether the run goes on, was interrupted, or has finished."""
        if len(self.results) == self.total:
            return "finished"
        return "interrupted" if self.interrupted else "running"

    def in_order_of_start(self, notebooks: Sequence[Path]) -> list[Path]:
        """Return those that share the machine, the first and then the longest, before the others.

        So a first page is there early, and two that run at a time end at about the same time.
        """
        sharing = [one for one in notebooks if one.stem in self.sharing]
        sharing[1:] = sorted(sharing[1:], key=lambda one: self._estimate_s(one.stem), reverse=True)
        return sharing + [one for one in notebooks if one not in sharing]

    def start(self, name: str) -> None:
        """Note that the notebook *name* runs now."""
        self.waiting.remove(name)
        self.running[name] = time.monotonic()

    def end(self, result: NotebookResult) -> None:
        """Note that a notebook has ended with *result*."""
        del self.running[result.name]
        self.results.append(result)

    def time_left(self) -> str:
        """Return an estimate of the time that the notebooks still take, in words."""
        left_s = {name: self._estimate_s(name) for name in self.waiting}
        for name, began in self.running.items():
            left_s[name] = max(1.0, self._estimate_s(name) - (time.monotonic() - began))
        shared = [left_s.pop(name) for name in self.sharing & left_s.keys()]
        seconds = sum(left_s.values()) + max(sum(shared) / 2, *shared, 0)
        return f"about {in_words(seconds)} left"

    def _estimate_s(self, name: str) -> float:
        return self._typical_s.get(name, FIRST_ESTIMATES_S.get(name, _OTHER_ESTIMATE_S))


def durations_of_earlier_runs(runs: Path) -> dict[str, float]:
    """Return the seconds that each notebook took when its copy in *runs* was executed."""
    found = {}
    for file in runs.glob("[0-9][0-9]-*.ipynb"):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))["metadata"]["papermill"]
            found[file.stem] = float(record["duration"])
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found
