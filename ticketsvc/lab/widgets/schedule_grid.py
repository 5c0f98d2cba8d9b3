"""The atlas of schedules: every schedule a cell, its outcome a colour, its transcript a click away.

No script: see `fragments`. Reaches no database.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from IPython.display import HTML

from ticketsvc.lab.charts.outcomes import KINDS, Look, look_of, shown
from ticketsvc.lab.explore.schedules import Event, Run
from ticketsvc.lab.explore.transcripts import COLUMNS, findings, in_short, rows
from ticketsvc.lab.widgets.rendering import fill_in


@dataclass(frozen=True)
class _Cell:
    run: Run
    look: Look
    label: str
    steps: Sequence[tuple[Event, Sequence[str]]]
    findings: Sequence[str]


@dataclass(frozen=True)
class _Panel:
    title: str
    counts: str
    cells: Sequence[_Cell]


def atlas(panels: Mapping[str, Sequence[Run]]) -> HTML:
    """Show every schedule of each panel as a cell, and the transcript of the one that is chosen.

    *panels*: the runs by the panel's title, usually the allocator's name. A letter says again
    what the colour does; serial orders have a thick border.
    """
    runs = [run for panel in panels.values() for run in panel]
    return fill_in(
        "schedule_grid.html.j2",
        panels=[_panel(title, chosen) for title, chosen in panels.items()],
        columns=COLUMNS,
        looks=shown(run.kind for run in runs),
        serial=any(run.serial for run in runs),
        reduced=any(run.stands_for > 1 for run in runs),
    )


def _panel(title: str, runs: Sequence[Run]) -> _Panel:
    counts: Counter[str] = Counter()
    for run in runs:
        counts[run.kind] += run.stands_for
    total = counts.total()
    words = f"{total:,} {'schedule' if total == 1 else 'schedules'}"
    if len(runs) != total:
        words += f", {len(runs):,} of them run"
    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in reversed(KINDS) if counts[kind])
    return _Panel(title, f"{words}: {kinds}" if kinds else words, [_cell(run) for run in runs])


def _cell(run: Run) -> _Cell:
    return _Cell(
        run=run,
        look=look_of(run.kind),
        label=f"schedule {run.id}: {in_short(run)}",
        steps=list(zip(run.events, rows(run), strict=True)),
        findings=findings(run),
    )
