"""How far a run of notebooks has come, and how long it may still take."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ticketsvc.lab.report.executed import find_title
from ticketsvc.lab.report.notebooks import read_notebook
from ticketsvc.lab.report.results import NotebookResult, in_words

State = Literal["running", "interrupted", "finished"]

# Seconds on two processors, for the first run; a later one goes by what each took before.
FIRST_ESTIMATES_S = {
    "01-seed": 4,
    "02-reproduce": 9,
    "03-root-cause": 9,
    "04-the-fix": 9,
    "05-several-instances": 8,
    "06-write-volume": 12,
    "07-which-schedules": 30,
    "08-throughput": 25,
    "09-what-survives": 30,
    "10-is-it-in-your-service": 25,
    "11-more-than-one-machine": 15,
}
_OTHER_ESTIMATE_S = 15


class Progress:
    """The notebooks of one run: those that have ended, the one that runs, those that wait."""

    def __init__(self, notebooks: Sequence[Path], typical_s: Mapping[str, float]) -> None:
        self.titles = {
            notebook.stem: find_title(read_notebook(notebook)) or notebook.stem
            for notebook in notebooks
        }
        self.waiting = [notebook.stem for notebook in notebooks]
        self.running: str | None = None
        self.results: list[NotebookResult] = []
        self.interrupted = False
        self._typical_s = typical_s
        self._began = time.monotonic()

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

    def start(self, name: str) -> None:
        """Note that the notebook *name* runs now."""
        self.waiting.remove(name)
        self.running = name
        self._began = time.monotonic()

    def end(self, result: NotebookResult) -> None:
        """Note that the notebook that runs has ended with *result*."""
        self.running = None
        self.results.append(result)

    def time_left(self) -> str:
        """Return an estimate of the time that the notebooks still take, in words."""
        seconds = sum(map(self._estimate_s, self.waiting))
        if self.running:
            elapsed = time.monotonic() - self._began
            seconds += max(1.0, self._estimate_s(self.running) - elapsed)
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
