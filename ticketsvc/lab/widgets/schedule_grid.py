"""The schedule grid: one cell per schedule, coloured by its outcome, with its transcript.

It works without a script, see `rendering`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from IPython.display import HTML

from ticketsvc.lab.explore.transcripts import Transcript
from ticketsvc.lab.outcome_looks import Look, in_order
from ticketsvc.lab.widgets.rendering import render


def schedule_grid(panels: Mapping[str, Sequence[Transcript]]) -> HTML:
    """Show each schedule as a cell, and the transcript of the chosen one.

    *panels*: the transcripts of each panel, by its title, usually an allocator's name. A mark
    repeats what the colour says; serial schedules have a thick border.
    """
    cells = [cell for panel in panels.values() for cell in panel]
    return render(
        "schedule_grid.html.j2",
        panels=[(title, _counts(chosen), chosen) for title, chosen in panels.items()],
        looks=in_order(cell.look for cell in cells),
        serial=any(cell.run.serial for cell in cells),
        most=max((cell.run.represents for cell in cells), default=1),
    )


def _counts(cells: Sequence[Transcript]) -> str:
    counts: Counter[Look] = Counter()
    for cell in cells:
        counts[cell.look] += cell.run.represents
    total = counts.total()
    words = f"{total:,} {'schedule' if total == 1 else 'schedules'}"
    if len(cells) != total:
        words += f", {len(cells):,} of them executed"
    kinds = [f"{counts[look]:,} {look.kind}" for look in reversed(in_order(counts))]
    return f"{words}: {', '.join(kinds)}" if kinds else words
