"""`report`: the notebooks as pages."""

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ticketsvc.cli.console import on_stderr, print_table
from ticketsvc.cli.db import prepare_schemas
from ticketsvc.cli.exit_codes import CLEAN, VIOLATION
from ticketsvc.cli.root import as_json_option, refuse_options, ticketsvc
from ticketsvc.errors import UsageError
from ticketsvc.settings import ROOT


@ticketsvc.command()
@click.option(
    "--only",
    multiple=True,
    metavar="NN",
    help="Run only this notebook, by number or name; repeat for several.",
)
@click.option(
    "-p",
    "--parameter",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set this parameter of the notebooks that declare it; repeat for several.",
)
@click.option(
    "--scenario",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run notebook 10 on this scenario, as a page to send to the team.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "reports",
    show_default="reports",
    help="Write the pages to this folder.",
)
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="RUN",
    help="Run nothing: put this run beside the newest other one, or beside a second RUN. A run is "
    "a name in runs, or a file from there.",
)
@as_json_option
def report(
    only: tuple[str, ...],
    parameters: tuple[tuple[str, str], ...],
    scenario: Path | None,
    output: Path,
    compared: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the notebooks into offline HTML pages. Exit 1: a notebook failed.

    Open reports/index.html at once: it is written before the first notebook ends, and again as
    each one does.

    \b
      python3 run.py                              every notebook
      python3 run.py report --only 02 --only 04   two of them
      python3 run.py report --only 02 -p buyers 50
      python3 run.py report --scenario shop.toml  is it in your service?
      python3 run.py report --compare 20261126-101500-042137
    """
    from ticketsvc.lab.report.facts import gather_facts
    from ticketsvc.lab.report.index import write_index
    from ticketsvc.lab.report.notebooks import NOTEBOOKS, choose_parameters, find_notebooks
    from ticketsvc.lab.report.progress import Progress, durations_of_earlier_runs
    from ticketsvc.lab.report.run_notebooks import run_notebooks
    from ticketsvc.lab.report.runs import new_run_name, save_run
    from ticketsvc.lab.scenarios.spec import read_scenario

    if compared:
        refuse_options(("only", "parameters", "scenario"), "runs notebooks: leave out --compare")
        _compare(compared, output, as_json)
        return
    if scenario is not None and only:
        raise UsageError("--scenario runs notebook 10: leave out --only")
    notebooks = find_notebooks(NOTEBOOKS, only if scenario is None else ["10"])
    chosen = choose_parameters(notebooks, parameters)
    if scenario is not None:
        read_scenario(scenario)  # what is wrong with it is said before anything starts
        chosen = {"clients": 0, **chosen, "scenario": str(scenario.resolve())}
    runs, run = ROOT / "runs", new_run_name()
    _make(output, "--output ")
    _make(runs)
    progress = Progress(notebooks, durations_of_earlier_runs(runs))
    known = [notebook.stem for notebook in find_notebooks(NOTEBOOKS)]
    facts: dict[str, str] = {}

    def refresh() -> Path:
        return write_index(progress.results, output, facts=facts, known=known, progress=progress)

    with _databases(two=len(progress.sharing) > 1) as (conninfo, second):
        if second is None:
            progress.sharing.clear()  # nobody to share with
        facts = gather_facts(conninfo)
        index = refresh()
        with _shown(progress, index) as say:

            def on_start(notebook: Path) -> None:
                progress.start(notebook.stem)
                refresh()

            def on_end(result: Any) -> None:
                progress.end(result)
                refresh()
                save_run(runs, run, facts, notebooks, progress.results)
                say(f"{result.name}: {result.state}, {result.took}")

            try:
                results = run_notebooks(
                    progress.in_order_of_start(notebooks),
                    chosen,
                    output,
                    runs,
                    second_database=second,
                    on_start=on_start,
                    on_end=on_end,
                )
            except BaseException:
                progress.interrupted = True
                refresh()
                raise
    _print_results(results, output, index, as_json)
    failed = any(result.state == "failed" for result in results)
    raise click.exceptions.Exit(VIOLATION if failed else CLEAN)


def _make(folder: Path, option: str = "") -> None:
    """Make the folder; raise `UsageError` that says why it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        raise UsageError(f"{option}{folder}: {problem.strerror}") from None


def _compare(wanted: Sequence[str], output: Path, as_json: bool) -> None:
    """Put two runs side by side: a page, and what differs as a table."""
    from ticketsvc.lab.report.compare import compare, write_comparison
    from ticketsvc.lab.report.runs import choose_runs

    before, after = choose_runs(ROOT / "runs", wanted)
    rows = compare(before, after)
    _make(output, "--output ")
    page = write_comparison(before, after, rows, output)
    found = Counter(row.finding for row in rows)
    if as_json:
        runs = {"before": before.name, "after": after.name, "page": str(page)}
        told = {**runs, "differs": found["differs"], "rows": [vars(row) for row in rows]}
        print(json.dumps(told))
        return
    shown = [
        [row.finding, row.notebook, row.what, row.before, row.after, row.ratio]
        for row in rows
        if row.finding in ("differs", "other conditions")
    ]
    if shown:
        print_table(["finding", "where", "what", before.name, after.name, "ratio"], shown)
    print(", ".join(f"{name}: {number}" for name, number in found.items()))
    print(page)


@contextlib.contextmanager
def _shown(progress: Any, index: Path) -> Iterator[Callable[[str], None]]:
    """Return what to call with a line for each notebook that has ended.

    On a terminal, also show which of them run now and the time that is left.
    """
    from rich.live import Live
    from rich.spinner import Spinner

    console = on_stderr()

    def line(words: str) -> None:
        console.print(words, markup=False, highlight=False, soft_wrap=True)

    def say(words: str) -> None:
        done = f"{len(progress.results)}/{progress.total} {words}"
        left = "" if progress.state == "finished" else f"; {progress.time_left()}"
        line(done if console.is_terminal else done + left)

    line(
        f"{index} can be read from now on; it grows as each notebook ends, {progress.total} in all"
    )
    if not console.is_terminal:
        yield say
        return
    spinner = Spinner("dots")

    def current() -> Spinner:
        done = f"{len(progress.results)} of {progress.total} done"
        running = " and ".join(progress.running) or "starting"
        spinner.update(text=f"{done}; {running} now; {progress.time_left()}")
        return spinner

    with Live(get_renderable=current, console=console, refresh_per_second=4, transient=True):
        yield say


@contextlib.contextmanager
def _databases(*, two: bool) -> Iterator[tuple[str, str | None]]:
    """Return the database of the run, which is DATABASE_URL meanwhile, and with *two* a second.

    Without the right to create it there is no second one.
    """
    from ticketsvc.database.locate import fresh_database
    from ticketsvc.database.scratch import scratch_database

    with (
        fresh_database() as first,
        _environment(DATABASE_URL=first),
        contextlib.ExitStack() as stack,
    ):
        prepare_schemas(first)
        second = None
        if two:
            with contextlib.suppress(UsageError):
                second = stack.enter_context(scratch_database(first, "report"))
        yield first, second


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _print_results(results: Sequence[Any], output: Path, index: Path, as_json: bool) -> None:
    if as_json:
        notebooks = [
            {
                "name": result.name,
                "state": result.state,
                "report": str(output / f"{result.name}.html"),
                "duration_s": result.duration_s,
                "verdict": result.verdict,
                "failure": result.failure and vars(result.failure),
            }
            for result in results
        ]
        failed = sum(result.state == "failed" for result in results)
        print(json.dumps({"index": str(index), "failed": failed, "notebooks": notebooks}))
        return
    rows = []
    for result in results:
        held, claims = result.claims
        reason = result.failure.message if result.failure else result.sentence
        state = "" if result.state == "holds" else f"{result.state.upper()}: "
        rows.append([result.name, f"{state}{held} of {claims}", result.took, reason])
    print_table(["notebook", "claims that hold", "time", "in one sentence"], rows)
    print(index)
