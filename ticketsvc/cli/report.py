"""`report`: the notebooks as pages."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ticketsvc.cli.console import on_stderr, print_table
from ticketsvc.cli.db import prepare_schemas
from ticketsvc.cli.root import CLEAN, VIOLATION, as_json_option, ticketsvc
from ticketsvc.errors import UsageError
from ticketsvc.settings import ROOT, load_settings


@ticketsvc.command()
@click.option("--only", multiple=True, metavar="NN", help="Only this notebook; repeat for several.")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Another value for a parameter, wherever a notebook declares it.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "reports",
    show_default="reports",
    help="Where the pages go.",
)
@as_json_option
def report(
    only: tuple[str, ...], parameters: tuple[tuple[str, str], ...], output: Path, as_json: bool
) -> None:
    """Run the notebooks into offline HTML pages. Exit 1: a notebook failed."""
    from ticketsvc.database.locate import fresh_database
    from ticketsvc.lab.report import run_notebooks as reports
    from ticketsvc.lab.report.pages import gather_facts, write_index

    notebooks = reports.find_notebooks(reports.NOTEBOOKS, only)
    chosen = reports.choose_parameters(notebooks, parameters)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(f"--output {output}: {problem.strerror}") from None
    with fresh_database(load_settings()) as conninfo, _environment(DATABASE_URL=conninfo):
        prepare_schemas(conninfo)
        with _steps(len(notebooks)) as (begin, end):
            results = reports.run_notebooks(
                notebooks,
                chosen,
                output,
                ROOT / "runs",
                on_start=lambda notebook: begin(notebook.stem),
                on_end=lambda result: end(f"{result.name}: {result.state}, {result.took}"),
            )
        index = write_index(
            results,
            output,
            facts=gather_facts(conninfo),
            known=[notebook.stem for notebook in reports.find_notebooks(reports.NOTEBOOKS)],
        )
    failed = sum(result.state == "failed" for result in results)
    if as_json:
        rows = [
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
        print(json.dumps({"index": str(index), "failed": failed, "notebooks": rows}))
    else:
        _print_results(results)
        print(index)
    raise click.exceptions.Exit(VIOLATION if failed else CLEAN)


@contextlib.contextmanager
def _steps(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Return what to call when a step begins and when it ends.

    A line for each that ended; on a terminal also what runs now.
    """
    done = 0
    words = on_stderr()

    def end(line: str) -> None:
        nonlocal done
        done += 1
        words.print(f"{done}/{total} {line}", markup=False, highlight=False, soft_wrap=True)

    if not words.is_terminal:
        yield lambda _: None, end
        return
    with words.status("starting") as status:
        yield lambda name: status.update(f"{done + 1}/{total} {name} …"), end


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


def _print_results(results: Sequence[Any]) -> None:
    rows = []
    for result in results:
        held, claims = result.claims
        reason = result.failure.message if result.failure else result.sentence
        state = result.state.upper() if result.state == "failed" else result.state
        rows.append([result.name, state, f"{held}/{claims}", result.took, reason])
    print_table(["notebook", "verdict", "claims", "time", "in one sentence"], rows)
