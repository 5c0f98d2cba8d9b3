"""Keep what a run of the notebooks came to, and find the runs to compare."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ticketsvc.errors import UsageError
from ticketsvc.lab.figures import EXACT, ONCE, RecordedFigure
from ticketsvc.lab.report.notebooks import literal, read_parameters
from ticketsvc.lab.report.results import NotebookResult
from ticketsvc.lab.report.templating import write_at_once


@dataclass(frozen=True)
class NotebookRun:
    """What became of a notebook in one run."""

    state: str
    parameters: dict[str, Any]
    duration_s: float
    figures: list[RecordedFigure]

    def by_name(self) -> dict[str, RecordedFigure]:
        """Return the figures, and the duration as the first of them."""
        took = self.duration_s
        duration = RecordedFigure("duration", "s", took, took, took, ONCE)
        return {figure.name: figure for figure in (duration, *self.figures)}


@dataclass(frozen=True)
class SavedRun:
    """One run: its name, what it ran on, and what became of each of its notebooks."""

    name: str
    facts: dict[str, str]
    notebooks: dict[str, NotebookRun]


_RECORD = TypeAdapter(SavedRun)


def new_run_name() -> str:
    """Return the name of a run that begins now, to the microsecond; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"


def save_run(
    runs: Path,
    name: str,
    facts: Mapping[str, str],
    notebooks: Sequence[Path],
    results: Sequence[NotebookResult],
) -> None:
    """Write *runs*/NAME.json: parameters, environment and figures of the notebooks so far."""
    declared = {
        notebook.stem: {one.name: literal(one.default) for one in read_parameters(notebook)}
        for notebook in notebooks
    }
    ended = {
        result.name: NotebookRun(
            result.state,
            {**declared[result.name], **result.parameters},
            result.duration_s,
            [RecordedFigure(**one) for one in (result.verdict or {}).get("figures", ())],
        )
        for result in results
    }
    runs.mkdir(parents=True, exist_ok=True)
    record = _RECORD.dump_json(SavedRun(name, dict(facts), ended), indent=1)
    write_at_once(runs / f"{name}.json", record + b"\n")


def read_run(file: Path) -> SavedRun:
    """Return the run that `save_run` wrote; raise `UsageError` when *file* holds none."""
    try:
        run = _RECORD.validate_json(file.read_bytes())
        every = [figure for one in run.notebooks.values() for figure in one.by_name().values()]
        if not all(map(_possible, every)):
            raise ValueError
    except OSError as problem:
        raise UsageError(f"--compare {file}: {problem.strerror}") from None
    except ValueError:
        raise UsageError(f"--compare {file}: this is no record of a run") from None
    return run


def _possible(figure: RecordedFigure) -> bool:
    numbers = [figure.low, figure.value, figure.high]
    finite = all(map(math.isfinite, [*numbers, figure.noise]))
    return finite and numbers == sorted(numbers) and figure.noise >= EXACT


def choose_runs(runs: Path, wanted: Sequence[str]) -> tuple[SavedRun, SavedRun]:
    """Return the two runs to compare: those *wanted*, or the one wanted and the newest other.

    Each is the name of a record in *runs*, or a file. Raise `UsageError` that names the runs.
    """
    known = {file.stem: file for file in sorted(runs.glob("[0-9]*-[0-9]*.json"))}
    there = f"there are {', '.join(known)}" if known else "there is none yet in runs"
    files = []
    for name in wanted:
        file = known.get(name, Path(name))
        if not file.is_file():
            raise UsageError(f"--compare {name}: there is no such run; {there}")
        files.append(file)
    if len(files) == 1:
        others = [file for file in known.values() if file.resolve() != files[0].resolve()]
        if not others:
            raise UsageError(f"--compare {wanted[0]}: there is no other run to compare it with")
        files.append(others[-1])
    if len(files) != 2:
        raise UsageError("--compare takes one run or two")
    return read_run(files[0]), read_run(files[1])
