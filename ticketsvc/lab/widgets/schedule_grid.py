"""The schedule grid: one cell per schedule, coloured by its outcome, with its transcript.

It works without a script, see `rendering`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from IPython.display import HTML

from ticketsvc.lab.charts.outcomes import KINDS, Look, look_of, shown
from ticketsvc.lab.explore.schedules import ScheduleRun, Step
from ticketsvc.lab.explore.transcripts import COLUMNS, findings, rows, summary
from ticketsvc.lab.widgets.rendering import render


@dataclass(frozen=True)
class _Cell:
    run: ScheduleRun
    look: Look
    label: str
    steps: Sequence[tuple[Step, Sequence[str]]]
    findings: Sequence[str]


@dataclass(frozen=True)
class _Panel:
    title: str
    counts: str
    cells: Sequence[_Cell]


def schedule_grid(panels: Mapping[str, Sequence[ScheduleRun]]) -> HTML:
    """Show each run as a cell, and the transcript of the chosen one.

    *panels*: the runs of each panel, by its title, usually an allocator's name. A mark repeats
    what the colour says; serial schedules have a thick border.
    """
    runs = [run for panel in panels.values() for run in panel]
    return render(
        "schedule_grid.html.j2",
        panels=[_panel(title, chosen) for title, chosen in panels.items()],
        columns=COLUMNS,
        looks=shown(run.kind for run in runs),
        serial=any(run.serial for run in runs),
        reduced=any(run.represents > 1 for run in runs),
    )


def _panel(title: str, runs: Sequence[ScheduleRun]) -> _Panel:
    counts: Counter[str] = Counter()
    for run in runs:
        counts[run.kind] += run.represents
    total = counts.total()
    words = f"{total:,} {'schedule' if total == 1 else 'schedules'}"
    if len(runs) != total:
        words += f", {len(runs):,} of them executed"
    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in reversed(KINDS) if counts[kind])
    return _Panel(title, f"{words}: {kinds}" if kinds else words, [_cell(run) for run in runs])


def _cell(run: ScheduleRun) -> _Cell:
    return _Cell(
        run=run,
        look=look_of(run.kind),
        label=f"schedule {run.id}: {summary(run)}",
        steps=list(zip(run.steps, rows(run), strict=True)),
        findings=findings(run),
    )
