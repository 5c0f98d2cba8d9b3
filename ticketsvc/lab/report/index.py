"""The index of the report: every notebook with its verdict, also while some of them still run."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ticketsvc.lab.notebook import QUESTIONS
from ticketsvc.lab.report.progress import Progress
from ticketsvc.lab.report.results import RECORD, Answer, NotebookResult, in_words
from ticketsvc.lab.report.templating import write_filled

_RELOAD_S = 10  # while notebooks run


def write_index(
    results: Iterable[NotebookResult],
    reports: Path,
    *,
    facts: Mapping[str, str],
    known: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write *reports*/index.html over *results* and the earlier reports in that folder.

    *known* names the notebooks that exist; an earlier report of any other is left out. With
    *progress*, the index says which notebook runs and which wait, and reloads itself until the run
    has finished.
    """
    new = {result.name: result for result in results}
    entries = {**_earlier(reports), **new}
    kept = set(entries if known is None else known) | new.keys()
    shown = [entries[name] for name in sorted(kept & entries.keys())]
    states = [result.state for result in shown]
    titles = progress.titles if progress else {}
    return write_filled(
        reports,
        "index.html",
        results=shown,
        new=new.keys(),
        facts=facts,
        failed=states.count("failed"),
        undecided=states.count("no verdict"),
        claims_held=sum(result.claims[0] for result in shown),
        claims=sum(result.claims[1] for result in shown),
        took=in_words(sum(result.duration_s for result in shown)),
        answers=_answers(shown),
        has_charts=any(result.charts for result in shown),
        progress=progress if progress and progress.state != "finished" else None,
        without_page=[one for one in titles.items() if one[0] not in entries],
        now=f"{datetime.now(UTC):%H:%M:%S} UTC",
        reload_s=_RELOAD_S,
    )


def _answers(shown: Sequence[NotebookResult]) -> list[tuple[NotebookResult, Answer]]:
    """Return what the notebooks that hold answer, in the order of `QUESTIONS`."""
    found = [(one, answer) for one in shown if one.state == "holds" for answer in one.answers]
    return sorted(found, key=lambda pair: QUESTIONS.index(pair[1].question))


def _earlier(reports: Path) -> dict[str, NotebookResult]:
    """Read the results that lie beside their pages; what is not one is passed over."""
    found = {}
    for file in reports.glob("*.json"):
        if file.with_suffix(".html").exists():
            with contextlib.suppress(OSError, ValueError):
                found[file.stem] = RECORD.validate_json(file.read_bytes())
    return found
